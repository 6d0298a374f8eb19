// Package provider says how the Terraform provider for libvirt appears in Pulumi: under which tokens, the ones that
// the Python SDK pulumi-libvirt 0.5.4 asks for.
package provider

import (
	"github.com/dmacvicar/terraform-provider-libvirt/libvirt"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/info"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
)

const (
	// Package is the name of the package in Pulumi.
	Package = "libvirt"
	// Version is that of the SDK that this plugin serves.
	Version = "0.5.4"
)

var resources = map[string]string{
	"libvirt_cloudinit_disk": "CloudInitDisk",
	"libvirt_combustion":     "Combustion",
	"libvirt_domain":         "Domain",
	"libvirt_ignition":       "Ignition",
	"libvirt_network":        "Network",
	"libvirt_pool":           "Pool",
	"libvirt_volume":         "Volume",
}

var dataSources = map[string]string{
	"libvirt_network_dns_host_template":        "getNetworkDnsHostTemplate",
	"libvirt_network_dns_srv_template":         "getNetworkDnsSrvTemplate",
	"libvirt_network_dnsmasq_options_template": "getNetworkDnsmasqOptionsTemplate",
	"libvirt_node_device_info":                 "getNodeDeviceInfo",
	"libvirt_node_devices":                     "getNodeDevices",
	"libvirt_node_info":                        "getNodeInfo",
}

// Info is the mapping of the provider.
func Info() info.Provider {
	mapped := info.Provider{
		P:           sdkv2.NewProvider(libvirt.Provider()),
		Name:        Package,
		Version:     Version,
		DisplayName: "libvirt",
		Resources:   map[string]*info.Resource{},
		DataSources: map[string]*info.DataSource{},
	}
	for name, kind := range resources {
		mapped.Resources[name] = &info.Resource{Tok: tfbridge.MakeResource(Package, "index", kind)}
	}
	for name, function := range dataSources {
		mapped.DataSources[name] = &info.DataSource{Tok: tfbridge.MakeDataSource(Package, "index", function)}
	}
	return mapped
}
