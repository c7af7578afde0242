// The peer of tests/bench/bench_notation.c: notation-core-go verifies the same envelopes, on one
// core by CPU time, with the trust check that belongs to it. Usage: notation DIRECTORY [SECONDS]
package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-core-go/signature/jws"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// CPU time of the process: other load on the machine counts less.
func cpuSeconds() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

func run(name, mediaType string, blob []byte, root *x509.Certificate, seconds float64) {
	start := cpuSeconds()
	count := 0
	for cpuSeconds()-start < seconds {
		for i := 0; i < 64; i++ {
			envelope, err := signature.ParseEnvelope(mediaType, blob)
			check(err)
			content, err := envelope.Verify()
			check(err)
			_, err = signature.VerifyAuthenticity(&content.SignerInfo, []*x509.Certificate{root})
			check(err)
			count++
		}
	}
	fmt.Printf("notation-core-go %s %.0f verifications/s/core\n", name,
		float64(count)/(cpuSeconds()-start))
}

func main() {
	runtime.GOMAXPROCS(1)
	directory := os.Args[1]
	seconds := 2.0
	if len(os.Args) > 2 {
		var err error
		seconds, err = strconv.ParseFloat(os.Args[2], 64)
		check(err)
	}
	der, err := os.ReadFile(filepath.Join(directory, "root.der"))
	check(err)
	root, err := x509.ParseCertificate(der)
	check(err)
	blob, err := os.ReadFile(filepath.Join(directory, "envelope.jws"))
	check(err)
	run("jws", jws.MediaTypeEnvelope, blob, root, seconds)
	blob, err = os.ReadFile(filepath.Join(directory, "envelope.cose"))
	check(err)
	run("cose", cose.MediaTypeEnvelope, blob, root, seconds)
}
