// Verifications of the same bundles by sigstore-go, per second of one core.
// Usage: sigstore FOLDER SECONDS, with the FOLDER that bench_bundle --write made.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"syscall"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "sigstore:", err)
		os.Exit(1)
	}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage

	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return float64(usage.Utime.Sec+usage.Stime.Sec) + float64(usage.Utime.Usec+usage.Stime.Usec)/1e6
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sigstore FOLDER SECONDS")
		os.Exit(2)
	}
	folder := os.Args[1]
	seconds, err := strconv.ParseFloat(os.Args[2], 64)
	must(err)
	trusted, err := root.NewTrustedRootFromPath(filepath.Join(folder, "trusted_root.json"))
	must(err)
	artifact, err := os.ReadFile(filepath.Join(folder, "artifact"))
	must(err)
	names, err := filepath.Glob(filepath.Join(folder, "bundle-*.json"))
	must(err)
	sort.Strings(names)
	var blobs [][]byte
	for _, name := range names {
		blob, err := os.ReadFile(name)
		must(err)
		blobs = append(blobs, blob)
	}
	verifier, err := verify.NewVerifier(trusted, verify.WithSignedCertificateTimestamps(1),
		verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	must(err)
	identity, err := verify.NewShortCertificateIdentity("https://issuer.test", "", "https://ci.test/workflow", "")
	must(err)
	one := func(blob []byte) {
		var b bundle.Bundle

		must(b.UnmarshalJSON(blob))
		_, err := verifier.Verify(&b, verify.NewPolicy(verify.WithArtifact(bytes.NewReader(artifact)),
			verify.WithCertificateIdentity(identity)))
		must(err)
	}
	measure := func(label string, pick func(i int) []byte) {
		var before, after runtime.MemStats

		one(blobs[0])
		runtime.ReadMemStats(&before)
		start := cpuSeconds()
		count := 0
		spent := 0.0
		for spent < seconds {
			for k := 0; k < 20; k++ {
				one(pick(count))
				count++
			}
			spent = cpuSeconds() - start
		}
		runtime.ReadMemStats(&after)
		fmt.Printf("%s\t%.1f\t%.1f\t%d\n", label, float64(count)/spent, spent/float64(count)*1e6,
			(after.Mallocs-before.Mallocs)/uint64(count))
	}
	measure("distinct", func(i int) []byte { return blobs[i%len(blobs)] })
	measure("repeated", func(i int) []byte { return blobs[0] })
}
