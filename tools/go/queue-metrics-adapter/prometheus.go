package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// sample is one pod's value as Prometheus saw it.
type sample struct {
	value resource.Quantity
	at    time.Time
}

// prometheus answers instant queries.
type prometheus struct {
	url    string
	client http.Client
}

// query returns the samples by the value of the label. NaN and infinities are left out, as no
// autoscaler could use them.
func (p *prometheus) query(ctx context.Context, promQL, label string) (map[string]sample, error) {
	target := p.url + "/api/v1/query?query=" + url.QueryEscape(promQL)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			ResultType string
			Result     []struct {
				Metric map[string]string
				Value  [2]any // seconds, "value"
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("Prometheus answered %s: %w", response.Status, err)
	}
	if answer.Status != "success" || answer.Data.ResultType != "vector" {
		return nil, fmt.Errorf("Prometheus: %s %s for %s", answer.Status, answer.Error, promQL)
	}
	samples := map[string]sample{}
	for _, s := range answer.Data.Result {
		seconds, _ := s.Value[0].(float64)
		text, _ := s.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
			continue
		}
		samples[s.Metric[label]] = sample{
			value: *resource.NewMilliQuantity(int64(math.Round(value*1000)), resource.DecimalSI),
			at:    time.UnixMilli(int64(seconds * 1000)),
		}
	}
	return samples, nil
}
