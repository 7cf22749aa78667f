package main

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider/helpers"
)

var pods = schema.GroupResource{Resource: "pods"}

// podMetrics serves the metrics of pods, each asked of Prometheus when it is asked for.
type podMetrics struct {
	rules      map[string]rule
	prometheus *prometheus
	mapper     meta.RESTMapper
	client     dynamic.Interface
}

// ListAllMetrics names every metric that has a rule.
func (p *podMetrics) ListAllMetrics() []provider.CustomMetricInfo {
	var all []provider.CustomMetricInfo
	for name := range p.rules {
		all = append(all, provider.CustomMetricInfo{GroupResource: pods, Namespaced: true, Metric: name})
	}
	return all
}

// GetMetricByName is the value of one pod.
func (p *podMetrics) GetMetricByName(ctx context.Context, pod types.NamespacedName,
	info provider.CustomMetricInfo, _ labels.Selector) (*custom_metrics.MetricValue, error) {
	values, err := p.values(ctx, pod.Namespace, []string{pod.Name}, info)
	if err != nil {
		return nil, err
	}
	return &values.Items[0], nil
}

// GetMetricBySelector is the values of the selected pods. A pod without a sample is left out: the
// autoscaler has its own safe rules for missing pods, while a zero would scale down.
func (p *podMetrics) GetMetricBySelector(ctx context.Context, namespace string, selector labels.Selector,
	info provider.CustomMetricInfo, _ labels.Selector) (*custom_metrics.MetricValueList, error) {
	names, err := helpers.ListObjectNames(p.mapper, p.client, namespace, selector, info)
	if err != nil {
		return nil, err
	}
	return p.values(ctx, namespace, names, info)
}

// values never returns an empty list: no sample at all is "metric not found".
func (p *podMetrics) values(ctx context.Context, namespace string, names []string,
	info provider.CustomMetricInfo) (*custom_metrics.MetricValueList, error) {
	rule, known := p.rules[info.Metric]
	if !known || info.GroupResource != pods {
		return nil, provider.NewMetricNotFoundError(info.GroupResource, info.Metric)
	}
	query, err := rule.promQL(namespace, names)
	if err != nil {
		return nil, err
	}
	samples, err := p.prometheus.query(ctx, query, rule.pod)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	var list custom_metrics.MetricValueList
	for _, name := range names {
		if sample, found := samples[name]; found {
			list.Items = append(list.Items, custom_metrics.MetricValue{
				DescribedObject: custom_metrics.ObjectReference{
					Kind: "Pod", APIVersion: "/v1", Namespace: namespace, Name: name},
				Metric:    custom_metrics.MetricIdentifier{Name: info.Metric},
				Timestamp: metav1.NewTime(sample.at),
				Value:     sample.value,
			})
		}
	}
	if len(list.Items) == 0 {
		return nil, provider.NewMetricNotFoundError(info.GroupResource, info.Metric)
	}
	return &list, nil
}
