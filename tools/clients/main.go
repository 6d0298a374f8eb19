// Program clients is what programs on client-go consist of, to be run against an API server that is not let alone:
// informers, a candidate of an election, a controller with its events.
//
// It tells on stdout what happened, a line of JSON each, and answers questions that come on stdin. What client-go logs
// goes to stderr.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

const (
	namespace = "default"
	protobuf  = "application/vnd.kubernetes.protobuf"
)

// part is one kind of program; it returns when the context ends.
type part func(context.Context, *rest.Config, string) error

var parts = map[string]part{
	"candidate":  candidate,
	"controller": controller,
	"informers":  informers,
}

func main() {
	klog.InitFlags(nil)
	kubeconfig := flag.String("kubeconfig", "", "the server and who asks")
	kind := flag.String("part", "", "what to be")
	name := flag.String("name", "client", "what to call itself")
	encoding := flag.String("content-type", protobuf, "how built-in kinds travel")
	other := flag.String("other", "", "host:port that is connected to while the server does not listen, as by a load balancer")
	flag.Parse()
	run, known := parts[*kind]
	if !known {
		fail(fmt.Errorf("no part %q", *kind))
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		fail(err)
	}
	config.QPS, config.Burst = -1, 0
	config.ContentType = *encoding
	if *encoding == protobuf {
		config.AcceptContentTypes = protobuf + ",application/json"
	}
	if *other != "" {
		config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			var dialer net.Dialer
			found, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return dialer.DialContext(ctx, network, *other)
			}
			return found, nil
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx, config, *name); err != nil {
		fail(err)
	}
	klog.Flush()
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "clients:", err)
	os.Exit(1)
}

var output sync.Mutex

// tell writes a line; several goroutines may.
func tell(value any) {
	output.Lock()
	defer output.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		fail(err)
	}
}

// asked calls answer for each line of stdin until that or the context ends.
func asked(ctx context.Context, answer func(question string)) {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(os.Stdin); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case line, more := <-lines:
			if !more {
				return
			}
			answer(line)
		}
	}
}
