package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	applied "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/retry"
	"k8s.io/client-go/util/workqueue"
)

const (
	workers = 4
	manager = "thing-controller"
	// repeats is how often the same is told of an object, alike how often something that is nearly the same.
	repeats = 3
	alike   = 12
)

// reconciler makes a ConfigMap of each Thing by server-side apply and writes its status by update, against other writers.
type reconciler struct {
	client    kubernetes.Interface
	loose     dynamic.Interface
	store     cache.Store
	queue     workqueue.TypedRateLimitingInterface[string]
	series    events.EventRecorder
	counted   record.EventRecorder
	conflicts atomic.Int64
	retries   atomic.Int64
}

// controller runs a reconciler; it tells "synced" once. For each name of a Thing that it is sent it records events of that,
// and tells how often it met conflicts and had to begin again.
func controller(ctx context.Context, config *rest.Config, _ string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	loose, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	seriesSink := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	if err := seriesSink.StartRecordingToSinkWithContext(ctx); err != nil {
		return err
	}
	countedSink := record.NewBroadcaster(record.WithContext(ctx))
	countedSink.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	r := &reconciler{
		client:  client,
		loose:   loose,
		queue:   workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
		series:  seriesSink.NewRecorder(scheme.Scheme, manager),
		counted: countedSink.NewRecorder(scheme.Scheme, corev1.EventSource{Component: manager}),
	}
	factory := dynamicinformer.NewDynamicSharedInformerFactory(loose, 0)
	informer := factory.ForResource(things).Informer()
	r.store = informer.GetStore()
	enqueue := func(obj any) {
		key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
		if err != nil {
			fail(err)
		}
		r.queue.Add(key)
	}
	handle, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, obj any) { enqueue(obj) },
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), handle.HasSynced) {
		return fmt.Errorf("the informer did not sync")
	}
	for range workers {
		go wait.UntilWithContext(ctx, r.work, time.Second)
	}
	tell("synced")
	asked(ctx, func(name string) {
		if found, here, _ := r.store.GetByKey(namespace + "/" + name); here {
			r.record(found.(*unstructured.Unstructured))
		}
		tell(map[string]int64{"conflicts": r.conflicts.Load(), "retries": r.retries.Load()})
	})
	r.queue.ShutDown()
	return nil
}

func (r *reconciler) work(ctx context.Context) {
	for {
		key, ending := r.queue.Get()
		if ending {
			return
		}
		if err := r.reconcile(ctx, key); err != nil {
			r.retries.Add(1)
			r.queue.AddRateLimited(key)
		} else {
			r.queue.Forget(key)
		}
		r.queue.Done(key)
	}
}

func (r *reconciler) reconcile(ctx context.Context, key string) error {
	found, here, err := r.store.GetByKey(key)
	if err != nil || !here {
		return err
	}
	thing := found.(*unstructured.Unstructured)
	size, _, err := unstructured.NestedInt64(thing.Object, "spec", "size")
	if err != nil {
		return err
	}
	name := thing.GetName()
	wanted := applied.ConfigMap(name, thing.GetNamespace()).WithData(map[string]string{"size": strconv.FormatInt(size, 10)})
	maps := r.client.CoreV1().ConfigMaps(thing.GetNamespace())
	options := metav1.ApplyOptions{FieldManager: manager}
	_, err = maps.Apply(ctx, wanted, options)
	if apierrors.IsConflict(err) {
		// Somebody else owns the field: it is a controller's, and it takes it.
		r.conflicts.Add(1)
		options.Force = true
		_, err = maps.Apply(ctx, wanted, options)
	}
	if err != nil {
		return err
	}
	made, _, err := unstructured.NestedInt64(thing.Object, "status", "made")
	if err != nil || made == size {
		return err
	}
	return r.note(ctx, thing, size)
}

// note writes what was made into the status, on what the cache has at first: it may be old.
func (r *reconciler) note(ctx context.Context, thing *unstructured.Unstructured, size int64) error {
	resource := r.loose.Resource(things).Namespace(thing.GetNamespace())
	current := thing.DeepCopy()
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if err := unstructured.SetNestedField(current.Object, size, "status", "made"); err != nil {
			return err
		}
		_, err := resource.UpdateStatus(ctx, current, metav1.UpdateOptions{FieldManager: manager})
		if apierrors.IsConflict(err) {
			r.conflicts.Add(1)
			fresh, failure := resource.Get(ctx, thing.GetName(), metav1.GetOptions{})
			if failure != nil {
				return failure
			}
			current = fresh
		}
		return err
	})
}

// record tells of a thing the same by either recorder, and by the old one also what is much alike.
func (r *reconciler) record(thing *unstructured.Unstructured) {
	for range repeats {
		r.series.Eventf(thing, nil, corev1.EventTypeNormal, "Made", "Making", "made of %s", thing.GetName())
		r.counted.Eventf(thing, corev1.EventTypeNormal, "Counted", "made of %s", thing.GetName())
	}
	for number := range alike {
		r.counted.Eventf(thing, corev1.EventTypeNormal, "Alike", "number %d", number)
	}
}
