// Command keda-loopback-adapter serves external.metrics.k8s.io from KEDA's operator: KEDA's own provider in
// a server that listens only where it is told. KEDA's own program also serves /metrics on every
// interface, which no flag turns off.
package main

import (
	"context"
	"fmt"
	"os"

	grpcprometheus "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/metricsservice"
	kedaprovider "github.com/kedacore/keda/v2/pkg/provider"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/cmd"
)

func main() {
	if err := run(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves until the context ends.
func run(ctx context.Context) error {
	ctrl.SetLogger(klog.Background())
	adapter := &cmd.AdapterBase{Name: "keda-adapter"}
	operator := adapter.Flags().String("metrics-service-address", "", "gRPC address of KEDA's operator")
	authority := adapter.Flags().String("metrics-service-grpc-authority", "", "name in the operator's certificate")
	certificates := adapter.Flags().String("metrics-service-cert-dir", "", "tls.crt, tls.key and ca.crt for gRPC")
	if err := adapter.Flags().Parse(os.Args[1:]); err != nil {
		return err
	}
	if err := kedav1alpha1.AddToScheme(scheme.Scheme); err != nil {
		return err
	}
	config, err := adapter.ClientConfig()
	if err != nil {
		return err
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:  scheme.Scheme,
		Metrics: metricsserver.Options{BindAddress: "0"}, // no listener
	})
	if err != nil {
		return err
	}
	client, err := metricsservice.NewGrpcClient(ctx, *operator, *certificates, *authority, "",
		grpcprometheus.NewClientMetrics(), false)
	if err != nil {
		return err
	}
	go func() {
		if err := manager.Start(ctx); err != nil {
			klog.Exit(err)
		}
	}()
	adapter.WithExternalMetrics(kedaprovider.NewProvider(ctx, klog.Background(), manager.GetClient(), *client))
	return adapter.Run(ctx)
}
