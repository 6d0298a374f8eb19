// The plugin pulumi-resource-libvirt, for machines that cannot download a release of it.
//
// Its schema is written by ./tfgen at build time and lies beside the program, so that the repository holds none of it.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"

	"keelson/tools/pulumi-libvirt/provider"
)

func main() {
	program, err := os.Executable()
	if err != nil {
		fail(err)
	}
	schema, err := os.ReadFile(filepath.Join(filepath.Dir(program), "schema.json"))
	if err != nil {
		fail(err)
	}
	tfbridge.Main(provider.Package, provider.Version, provider.Info(), schema)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "pulumi-resource-libvirt:", err)
	os.Exit(1)
}
