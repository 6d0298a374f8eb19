// Program loads puts one load on one API server by way of client-go and prints what came of it as a line of JSON.
//
// It is the half of the bench that speaks as Kubernetes' own components do: protobuf bodies, connections pooled, HTTP/2
// where the server offers it. The other half is wrk, which costs less per request and so can ask for more.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// namespace holds everything that the loads make, but for nodes.
const namespace = "bench"

// options are the flags that every load reads.
type options struct {
	seconds time.Duration
	workers int
	count   int
	first   int
}

// outcome is what a load prints: operations that succeeded, and how long they took together and each.
type outcome struct {
	Operations int     `json:"operations"`
	Seconds    float64 `json:"seconds"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
}

// load is one kind of work.
type load func(context.Context, *clients, options) (outcome, error)

var loads = map[string]load{
	"apply":           apply,
	"connect":         connect,
	"create":          create,
	"delete":          remove,
	"fill-configmaps": fillConfigMaps,
	"fill-nodes":      fillNodes,
	"fill-pods":       fillPods,
	"get":             get,
	"list":            list,
	"list-500":        listPage,
	"get-during-list": getDuringList,
	"patch":           patch,
	"prepare":         prepare,
	"sweep":           sweep,
	"update":          update,
	"watch":           watch,
}

// clients makes what a load calls the server with.
type clients struct {
	config *rest.Config
	shared kubernetes.Interface
}

func newClients(kubeconfig string) (*clients, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = -1, 0
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	shared, err := kubernetes.NewForConfig(config)
	return &clients{config, shared}, err
}

// apart returns a client with connections of its own, as another process would have.
func (c *clients) apart() (kubernetes.Interface, error) {
	config := rest.CopyConfig(c.config)
	config.Dial = (&dialer{}).dial
	return kubernetes.NewForConfig(config)
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "the server and who asks")
	name := flag.String("load", "", "what to do")
	var o options
	flag.DurationVar(&o.seconds, "seconds", 3*time.Second, "how long a timed load goes on")
	flag.IntVar(&o.workers, "workers", 16, "how many ask at the same time")
	flag.IntVar(&o.count, "count", 100, "objects, watchers or connections of a counted load")
	flag.IntVar(&o.first, "first", 0, "the number that the first object made is named by")
	flag.Parse()
	run, known := loads[*name]
	if !known {
		fail(fmt.Errorf("no load %q", *name))
	}
	c, err := newClients(*kubeconfig)
	if err != nil {
		fail(err)
	}
	result, err := run(context.Background(), c, o)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "loads:", err)
	os.Exit(1)
}

// timed has every worker do one thing again and again until the time is up; the first error ends it.
func timed(o options, do func(worker, turn int) error) (outcome, error) {
	deadline := time.Now().Add(o.seconds)
	return worked(o.workers, func(worker, turn int) (bool, error) {
		if !time.Now().Before(deadline) {
			return false, nil
		}
		return true, do(worker, turn)
	})
}

// counted has the workers share a number of things to do.
func counted(o options, do func(number int) error) (outcome, error) {
	var next atomic.Int64
	return worked(o.workers, func(_, _ int) (bool, error) {
		number := int(next.Add(1)) - 1
		if number >= o.count {
			return false, nil
		}
		return true, do(o.first + number)
	})
}

func worked(workers int, step func(worker, turn int) (bool, error)) (outcome, error) {
	var group sync.WaitGroup
	latencies := make([][]time.Duration, workers)
	failures := make([]error, workers)
	began := time.Now()
	for worker := range workers {
		group.Go(func() {
			for turn := 0; ; turn++ {
				start := time.Now()
				more, err := step(worker, turn)
				if err != nil || !more {
					failures[worker] = err
					return
				}
				latencies[worker] = append(latencies[worker], time.Since(start))
			}
		})
	}
	group.Wait()
	took := time.Since(began)
	var all []time.Duration
	for worker := range workers {
		if failures[worker] != nil {
			return outcome{}, failures[worker]
		}
		all = append(all, latencies[worker]...)
	}
	return summed(all, took), nil
}

func summed(latencies []time.Duration, took time.Duration) outcome {
	sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
	at := func(share float64) float64 {
		if len(latencies) == 0 {
			return 0
		}
		return float64(latencies[int(share*float64(len(latencies)-1))].Microseconds()) / 1000
	}
	return outcome{len(latencies), took.Seconds(), at(0.5), at(0.99)}
}
