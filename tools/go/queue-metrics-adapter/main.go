// Command queue-metrics-adapter serves custom.metrics.k8s.io from Prometheus. It reads the rules of
// prometheus-adapter (the subset that maps a series to a metric of pods) and stands in for it where
// that program is not installed.
package main

import (
	"context"
	"net/http"
	"os"
	"time"

	"k8s.io/klog/v2"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/cmd"
)

func main() {
	adapter := &cmd.AdapterBase{Name: "queue-metrics-adapter"}
	prometheusURL := adapter.Flags().String("prometheus-url", "http://127.0.0.1:9090", "where Prometheus is")
	rulesPath := adapter.Flags().String("config", "", "the rules, in prometheus-adapter's format")
	if err := adapter.Flags().Parse(os.Args[1:]); err != nil {
		klog.Exit(err)
	}
	text, err := os.ReadFile(*rulesPath)
	if err != nil {
		klog.Exit(err)
	}
	rules, err := parseRules(text)
	if err != nil {
		klog.Exitf("%s: %v", *rulesPath, err)
	}
	client, err := adapter.DynamicClient()
	if err != nil {
		klog.Exit(err)
	}
	mapper, err := adapter.RESTMapper()
	if err != nil {
		klog.Exit(err)
	}
	adapter.WithCustomMetrics(&podMetrics{
		rules:      rules,
		prometheus: &prometheus{url: *prometheusURL, client: http.Client{Timeout: 10 * time.Second}},
		mapper:     mapper,
		client:     client,
	})
	klog.Exit(adapter.Run(context.Background()))
}
