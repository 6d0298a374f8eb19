// Writes the plugin's schema: `tfgen schema --out FOLDER`.
package main

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfgen"

	"keelson/tools/pulumi-libvirt/provider"
)

func main() {
	tfgen.Main(provider.Package, provider.Version, provider.Info())
}
