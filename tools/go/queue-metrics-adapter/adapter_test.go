package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
)

const queueRules = `
rules:
- seriesQuery: '{__name__="vllm:num_requests_waiting",namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
  name: {matches: "", as: vllm_queue_size}
  metricsQuery: sum by (<<.GroupBy>>) (<<.Series>>{<<.LabelMatchers>>})
`

var queueSize = provider.CustomMetricInfo{GroupResource: pods, Namespaced: true, Metric: "vllm_queue_size"}

// pod is an object as the dynamic client lists it.
func pod(namespace, name, app string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Pod"})
	object.SetNamespace(namespace)
	object.SetName(name)
	object.SetLabels(map[string]string{"app": app})
	return object
}

// adapterOn serves queueRules from a Prometheus that answers with the samples (pod to value) and
// records the queries.
func adapterOn(t *testing.T, samples map[string]string, queries *[]string) *podMetrics {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*queries = append(*queries, r.URL.Query().Get("query"))
		var result []string
		for pod, value := range samples {
			result = append(result, fmt.Sprintf(`{"metric":{"pod":%q},"value":[1700000000.5,%q]}`, pod, value))
		}
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[%s]}}`, strings.Join(result, ","))
	}))
	t.Cleanup(server.Close)
	rules, err := parseRules([]byte(queueRules))
	if err != nil {
		t.Fatal(err)
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, meta.RESTScopeNamespace)
	kinds := map[schema.GroupVersionResource]string{{Version: "v1", Resource: "pods"}: "PodList"}
	client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds,
		pod("llm", "vllm-a", "vllm"), pod("llm", "vllm-b", "vllm"), pod("llm", "other", "other"))
	return &podMetrics{rules, &prometheus{url: server.URL}, mapper, client}
}

func ask(p *podMetrics, info provider.CustomMetricInfo) (map[string]string, error) {
	selector := labels.SelectorFromSet(labels.Set{"app": "vllm"})
	list, err := p.GetMetricBySelector(context.Background(), "llm", selector, info, labels.Everything())
	if err != nil {
		return nil, err
	}
	got := map[string]string{}
	for _, item := range list.Items {
		got[item.DescribedObject.Name] = item.Value.String()
	}
	return got, nil
}

func TestOnlySelectedPodsWithASampleAreServed(t *testing.T) {
	var queries []string
	adapter := adapterOn(t, map[string]string{"vllm-a": "2.5", "other": "7", "vllm-b": "NaN"}, &queries)
	got, err := ask(adapter, queueSize)
	if err != nil || len(got) != 1 || got["vllm-a"] != "2500m" {
		t.Errorf("got %v, %v; want vllm-a alone with 2500m", got, err)
	}
	want := `sum by (pod) (vllm:num_requests_waiting{namespace="llm",pod=~"vllm-a|vllm-b"})`
	if len(queries) != 1 || queries[0] != want {
		t.Errorf("asked %q, want %q", queries, want)
	}
}

func TestNoSampleIsNotFoundAndNeverZero(t *testing.T) {
	var queries []string
	unknown := queueSize
	unknown.Metric = "unheard_of"
	for _, info := range []provider.CustomMetricInfo{queueSize, unknown} {
		if got, err := ask(adapterOn(t, nil, &queries), info); !apierrors.IsNotFound(err) {
			t.Errorf("%s: got %v, %v; want not found", info.Metric, got, err)
		}
	}
}

func TestPrometheusDownIsAnError(t *testing.T) {
	adapter := adapterOn(t, nil, new([]string))
	adapter.prometheus.url = "http://127.0.0.1:1"
	if _, err := ask(adapter, queueSize); apierrors.ReasonForError(err) != metav1.StatusReasonInternalError {
		t.Errorf("got %v, want an internal error", err)
	}
}

func TestRulesThatAreNotUnderstoodAreRefused(t *testing.T) {
	for change, want := range map[string]string{
		`as: vllm_queue_size`:              "name",
		`namespace: {resource: namespace}`: "overrides",
		`__name__="vllm:num_requests_wait`: "seriesQuery",
		`<<.GroupBy>>`:                     "metricsQuery",
	} {
		replacement := map[string]string{"name": "as: ''", "overrides": "node: {resource: node}",
			"seriesQuery": `x="`, "metricsQuery": "<<.GroupBy"}[want]
		_, err := parseRules([]byte(strings.Replace(queueRules, change, replacement, 1)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: got %v, want an error about %s", change, err, want)
		}
	}
}
