package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// dialer is there to be a different one for each client: client-go shares connections among clients that dial alike.
type dialer struct{ net.Dialer }

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return d.DialContext(ctx, network, address)
}

// watch has `count` clients, each on a connection of its own, watch while the workers write for the given time. An
// operation is one event that reached one client, and the time ends with the last of them. Events are counted and not
// decoded, because a hundred decoders on one machine would be the bench's own limit; both servers send JSON.
func watch(ctx context.Context, c *clients, o options) (outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	objects, err := owned(ctx, c, o)
	if err != nil {
		return outcome{}, err
	}
	found, err := c.shared.CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return outcome{}, err
	}
	var received atomic.Int64
	for range o.count {
		client, err := c.apart()
		if err != nil {
			return outcome{}, err
		}
		stream, err := client.CoreV1().RESTClient().Get().Namespace(namespace).Resource("configmaps").
			Param("watch", "true").Param("resourceVersion", found.ResourceVersion).
			SetHeader("Accept", "application/json").Stream(ctx)
		if err != nil {
			return outcome{}, err
		}
		go countLines(stream, &received)
	}
	began := time.Now()
	written, err := timed(o, func(worker, turn int) error {
		objects[worker].Data["turn"] = value(worker, turn)
		updated, err := c.shared.CoreV1().ConfigMaps(namespace).Update(ctx, objects[worker], metav1.UpdateOptions{})
		if err == nil {
			objects[worker] = updated
		}
		return err
	})
	if err != nil {
		return outcome{}, err
	}
	expected := int64(written.Operations) * int64(o.count)
	deadline := time.Now().Add(time.Minute)
	for received.Load() < expected {
		if time.Now().After(deadline) {
			return outcome{}, fmt.Errorf("%d of %d events came", received.Load(), expected)
		}
		time.Sleep(time.Millisecond)
	}
	return outcome{int(received.Load()), time.Since(began).Seconds(), written.P50, written.P99}, nil
}

func countLines(stream io.ReadCloser, lines *atomic.Int64) {
	defer stream.Close()
	reader := bufio.NewReaderSize(stream, 1<<16)
	for {
		_, err := reader.ReadSlice('\n')
		if err == nil {
			lines.Add(1)
		} else if !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// connect has `count` clients come at once, each with a new connection, a handshake and one request.
func connect(ctx context.Context, c *clients, o options) (outcome, error) {
	made := make([]kubernetes.Interface, o.count)
	for number := range made {
		client, err := c.apart()
		if err != nil {
			return outcome{}, err
		}
		made[number] = client
	}
	o.workers, o.first = o.count, 0
	return counted(o, func(number int) error {
		_, err := made[number].CoreV1().ConfigMaps(namespace).Get(ctx, "one", metav1.GetOptions{})
		return err
	})
}

// getDuringList measures gets while one more client lists everything again and again, without decoding it.
func getDuringList(ctx context.Context, c *clients, o options) (outcome, error) {
	lister, err := c.apart()
	if err != nil {
		return outcome{}, err
	}
	stop := make(chan struct{})
	var group sync.WaitGroup
	var failure error
	group.Go(func() {
		for failure == nil {
			select {
			case <-stop:
				return
			default:
			}
			var stream io.ReadCloser
			stream, failure = lister.CoreV1().RESTClient().Get().Namespace(namespace).Resource("configmaps").
				SetHeader("Accept", "application/json").SetHeader("Accept-Encoding", "identity").Stream(ctx)
			if failure == nil {
				_, failure = io.Copy(io.Discard, stream)
				stream.Close()
			}
		}
	})
	measured, err := get(ctx, c, o)
	close(stop)
	group.Wait()
	return measured, errors.Join(err, failure)
}
