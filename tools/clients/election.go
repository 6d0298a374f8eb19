package main

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

const (
	leaseSeconds = 6 * time.Second
	renewSeconds = 4 * time.Second
	retrySeconds = 500 * time.Millisecond
	// beat is how often a leader says that it leads.
	beat = 50 * time.Millisecond
)

// leads is a moment at which somebody led.
type leads struct {
	Leader string `json:"leader"`
	At     int64  `json:"at"`
}

// candidate stands for election again and again, and while it leads tells so. It gives the lease back when it ends.
func candidate(ctx context.Context, config *rest.Config, name string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	lead := func(ctx context.Context) {
		ticks := time.NewTicker(beat)
		defer ticks.Stop()
		for ctx.Err() == nil {
			tell(leads{name, time.Now().UnixNano()})
			select {
			case <-ctx.Done():
			case <-ticks.C:
			}
		}
	}
	for ctx.Err() == nil {
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: &resourcelock.LeaseLock{
				LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: "elected"},
				Client:     client.CoordinationV1(),
				LockConfig: resourcelock.ResourceLockConfig{Identity: name},
			},
			LeaseDuration:   leaseSeconds,
			RenewDeadline:   renewSeconds,
			RetryPeriod:     retrySeconds,
			ReleaseOnCancel: true,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: lead,
				OnStoppedLeading: func() {},
			},
		})
	}
	return nil
}
