package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	typed "k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

var (
	things     = schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "things"}
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
)

// witness is a handler that holds an informer to its word: nothing comes twice, goes twice or turns back.
type witness struct {
	mutex    sync.Mutex
	alive    map[string]uint64
	gone     map[string]uint64
	told     map[string]int
	breaches []string
}

func newWitness() *witness {
	return &witness{alive: map[string]uint64{}, gone: map[string]uint64{}, told: map[string]int{}}
}

// at returns the name of an object and its revision.
func at(obj any) (string, uint64) {
	if unknown, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = unknown.Obj
	}
	accessor, err := meta.Accessor(obj)
	if err != nil {
		fail(err)
	}
	revision, err := strconv.ParseUint(accessor.GetResourceVersion(), 10, 64)
	if err != nil {
		fail(err)
	}
	return accessor.GetNamespace() + "/" + accessor.GetName(), revision
}

func (w *witness) breach(format string, values ...any) {
	w.breaches = append(w.breaches, fmt.Sprintf(format, values...))
}

func (w *witness) OnAdd(obj any, _ bool) {
	name, revision := at(obj)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.told["added"]++
	if known, here := w.alive[name]; here {
		w.breach("%s came at %d and was there at %d", name, revision, known)
	}
	if last, was := w.gone[name]; was && revision <= last {
		w.breach("%s came at %d and had gone at %d", name, revision, last)
	}
	w.alive[name] = revision
}

func (w *witness) OnUpdate(_, obj any) {
	name, revision := at(obj)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.told["changed"]++
	known, here := w.alive[name]
	if !here {
		w.breach("%s changed at %d and was not there", name, revision)
	}
	// A list that was asked for again tells of what stayed as it was.
	if revision < known {
		w.breach("%s turned back from %d to %d", name, known, revision)
	}
	w.alive[name] = revision
}

func (w *witness) OnDelete(obj any) {
	name, revision := at(obj)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.told["deleted"]++
	known, here := w.alive[name]
	if !here {
		w.breach("%s went at %d and was not there", name, revision)
	}
	if revision < known {
		w.breach("%s went at %d and was there at %d", name, revision, known)
	}
	delete(w.alive, name)
	w.gone[name] = revision
}

// requests counts what informers ask for and how it was answered: "list things 200", "watch pods 410"; "stream" is a list
// that comes as the beginning of a watch.
type requests struct {
	mutex  sync.Mutex
	counts map[string]int
}

func (r *requests) count(verb, what, status string) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.counts[strings.Join([]string{verb, what, status}, " ")]++
}

// of returns the configuration of a client whose requests are counted, each resource under this prefix.
func (r *requests) of(config *rest.Config, prefix string) *rest.Config {
	found := rest.CopyConfig(config)
	found.Wrap(func(next http.RoundTripper) http.RoundTripper { return &counting{r, prefix, next} })
	return found
}

type counting struct {
	requests *requests
	prefix   string
	next     http.RoundTripper
}

func (c *counting) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := c.next.RoundTrip(request)
	status := "failed"
	if err == nil {
		status = strconv.Itoa(answer.StatusCode)
	}
	query, verb := request.URL.Query(), "list"
	if query.Get("sendInitialEvents") == "true" {
		verb = "stream"
	} else if query.Has("watch") {
		verb = "watch"
	}
	c.requests.count(verb, c.prefix+path.Base(request.URL.Path), status)
	return answer, err
}

// kept is an informer and who watches over it.
type kept struct {
	informer cache.SharedIndexInformer
	witness  *witness
}

// report is what an informer has now, and what it has told.
type report struct {
	Objects  map[string]string `json:"objects"`
	Told     map[string]int    `json:"told"`
	Breaches []string          `json:"breaches"`
}

func (k *kept) report() report {
	found := report{Objects: map[string]string{}, Told: map[string]int{}, Breaches: []string{}}
	for _, obj := range k.informer.GetStore().List() {
		name, revision := at(obj)
		found.Objects[name] = strconv.FormatUint(revision, 10)
	}
	k.witness.mutex.Lock()
	defer k.witness.mutex.Unlock()
	maps.Copy(found.Told, k.witness.told)
	found.Breaches = append(found.Breaches, k.witness.breaches...)
	return found
}

// informers keeps all objects of some kinds: typed, as they are, and their metadata alone. It tells "synced" once, and
// what it has for each line that it is sent.
func informers(ctx context.Context, config *rest.Config, _ string) error {
	asking := &requests{counts: map[string]int{}}
	client, err := kubernetes.NewForConfig(asking.of(config, ""))
	if err != nil {
		return err
	}
	loose, err := dynamic.NewForConfig(asking.of(config, "dynamic "))
	if err != nil {
		return err
	}
	partial, err := metadata.NewForConfig(asking.of(config, "metadata "))
	if err != nil {
		return err
	}
	builtIn := typed.NewSharedInformerFactory(client, 0)
	whole := dynamicinformer.NewDynamicSharedInformerFactory(loose, 0)
	bare := metadatainformer.NewSharedInformerFactory(partial, 0)
	all := map[string]*kept{
		"configmaps":          {informer: builtIn.Core().V1().ConfigMaps().Informer()},
		"nodes":               {informer: builtIn.Core().V1().Nodes().Informer()},
		"pods":                {informer: builtIn.Core().V1().Pods().Informer()},
		"dynamic things":      {informer: whole.ForResource(things).Informer()},
		"metadata configmaps": {informer: bare.ForResource(configMaps).Informer()},
		"metadata things":     {informer: bare.ForResource(things).Informer()},
	}
	synced := []cache.InformerSynced{}
	for _, each := range all {
		each.witness = newWitness()
		handle, err := each.informer.AddEventHandler(each.witness)
		if err != nil {
			return err
		}
		synced = append(synced, handle.HasSynced)
	}
	builtIn.Start(ctx.Done())
	whole.Start(ctx.Done())
	bare.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return fmt.Errorf("the informers did not sync")
	}
	tell("synced")
	asked(ctx, func(string) {
		reports := map[string]report{}
		for name, each := range all {
			reports[name] = each.report()
		}
		asking.mutex.Lock()
		defer asking.mutex.Unlock()
		tell(map[string]any{"informers": reports, "requests": asking.counts})
	})
	return nil
}
