// Signs images with notation-go against a running registry, for Gatehouse to judge. See README.md.
package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-core-go/signature/jws"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/tspclient-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/registry/remote"
)

type result struct {
	Tag    string `json:"tag"`
	Digest string `json:"digest"`
	Expect string `json:"expect"`          // allow or deny
	Cause  string `json:"cause,omitempty"` // Gatehouse's cause for a denial
	Kind   string `json:"kind"`            // what is to trust: ca, tsa (ca and the TSA), authority, aws
}

type authority struct {
	key  crypto.Signer
	cert *x509.Certificate
}

type program struct {
	registryHost, repository, out, tsaURL, tsaRoot, crlURL, ocspURL string
	plainHTTP                                                       bool
	life                                                            time.Duration
	keys                                                            []string
	serial                                                          int64
	results                                                         []result
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func newKey(kind string) crypto.Signer {
	var key crypto.Signer
	var err error
	switch kind {
	case "rsa2048":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "rsa3072":
		key, err = rsa.GenerateKey(rand.Reader, 3072)
	case "rsa4096":
		key, err = rsa.GenerateKey(rand.Reader, 4096)
	case "p256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "p384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "p521":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	default:
		err = fmt.Errorf("unknown key type %q", kind)
	}
	must(err)
	return key
}

func (p *program) issue(name string, key crypto.Signer, by *authority) *x509.Certificate {
	p.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(p.serial),
		Subject: pkix.Name{Country: []string{"SE"}, Province: []string{"Test"},
			Organization: []string{"Interop"}, CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		BasicConstraintsValid: true,
	}
	parent, parentKey := template, key
	if by == nil {
		template.IsCA = true
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		template.ExtKeyUsage = nil
	} else {
		parent, parentKey = by.cert, by.key
		if p.life > 0 { // as a signing service issues them, with a use of its own
			template.NotAfter = time.Now().Add(p.life)
			template.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 311, 97, 1, 0}}
		}
		if p.crlURL != "" {
			template.CRLDistributionPoints = []string{p.crlURL}
		}
		if p.ocspURL != "" {
			template.OCSPServer = []string{p.ocspURL}
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	must(err)
	cert, err := x509.ParseCertificate(der)
	must(err)
	p.writePEM(name+".pem", "CERTIFICATE", der)
	return cert
}

func (p *program) writePEM(name, label string, der []byte) {
	block := pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
	must(os.WriteFile(filepath.Join(p.out, name), block, 0o600))
}

func (p *program) newAuthority(name string) *authority {
	key := newKey("p384")
	root := &authority{key: key, cert: p.issue(name, key, nil)}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	p.writePEM(name+".key", "PRIVATE KEY", der) // for OpenSSL's responder and lists; worthless else
	return root
}

func (p *program) push(ctx context.Context, repo *remote.Repository, tag string) ocispec.Descriptor {
	config, err := oras.PushBytes(ctx, repo, ocispec.MediaTypeImageConfig,
		[]byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`))
	must(err)
	layer, err := oras.PushBytes(ctx, repo, ocispec.MediaTypeImageLayer, []byte("layer of "+tag))
	must(err)
	manifest, err := json.Marshal(ocispec.Manifest{Versioned: versioned(),
		MediaType: ocispec.MediaTypeImageManifest, Config: config,
		Layers: []ocispec.Descriptor{layer}})
	must(err)
	descriptor, err := oras.TagBytes(ctx, repo, ocispec.MediaTypeImageManifest, manifest, tag)
	must(err)
	return descriptor
}

type signing struct {
	tag, keyType, mediaType string
	by                      *authority
	expiry                  time.Duration
	isStamped               bool
}

func (p *program) sign(ctx context.Context, repo *remote.Repository, s signing) ocispec.Descriptor {
	image := p.push(ctx, repo, s.tag)
	key := newKey(s.keyType)
	leaf := p.issue("leaf-"+s.tag, key, s.by)
	generic, err := signer.NewGenericSigner(key, []*x509.Certificate{leaf, s.by.cert})
	must(err)
	options := notation.SignOptions{
		SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: s.mediaType,
			ExpiryDuration: s.expiry},
		ArtifactReference: fmt.Sprintf("%s/%s@%s", p.registryHost, p.repository, image.Digest),
		UserMetadata:      map[string]string{"stage": "interop"},
	}
	if s.isStamped {
		options.Timestamper, err = tspclient.NewHTTPTimestamper(nil, p.tsaURL)
		must(err)
		options.TSARootCAs = x509.NewCertPool()
		text, err := os.ReadFile(p.tsaRoot)
		must(err)
		options.TSARootCAs.AppendCertsFromPEM(text)
	}
	_, err = notation.Sign(ctx, generic, registry.NewRepository(repo), options)
	must(err)
	return image
}

// An empty CAUSE says that the image must be served.
func (p *program) record(s signing, image ocispec.Descriptor, kind, cause string) {
	expect := "allow"
	if cause != "" {
		expect = "deny"
	}
	if s.isStamped {
		kind = "tsa"
	}
	p.results = append(p.results, result{Tag: s.tag, Digest: image.Digest.String(), Expect: expect,
		Cause: cause, Kind: kind})
	fmt.Println(s.tag, image.Digest, expect, cause)
}

// The signature of one image, attached to another: its payload names the first one's digest.
func (p *program) moveSignature(ctx context.Context, repo *remote.Repository, from,
	to ocispec.Descriptor) {
	must(repo.Referrers(ctx, from, "application/vnd.cncf.notary.signature",
		func(referrers []ocispec.Descriptor) error {
			for _, referrer := range referrers {
				reader, err := repo.Fetch(ctx, referrer)
				must(err)
				var manifest ocispec.Manifest
				must(json.NewDecoder(reader).Decode(&manifest))
				must(reader.Close())
				manifest.Subject = &to
				text, err := json.Marshal(manifest)
				must(err)
				descriptor := descriptorOf(manifest.MediaType, text)
				must(repo.Push(ctx, descriptor, bytes.NewReader(text)))
			}
			return nil
		}))
}

func main() {
	p := &program{serial: time.Now().Unix()}
	flag.StringVar(&p.registryHost, "registry", "127.0.0.1:5000", "host and port")
	flag.StringVar(&p.repository, "repository", "interop/notation", "where the images go")
	flag.StringVar(&p.out, "out", ".", "where certificates and cases.json go")
	flag.StringVar(&p.tsaURL, "tsa", "", "RFC 3161 service; no time stamps without it")
	flag.StringVar(&p.tsaRoot, "tsa-root", "", "PEM file of its root")
	flag.StringVar(&p.crlURL, "crl", "", "distribution point in the leaves")
	flag.StringVar(&p.ocspURL, "ocsp", "", "OCSP responder in the leaves")
	keys := flag.String("keys", "rsa2048,rsa3072,rsa4096,p256,p384,p521", "of the good images")
	flag.DurationVar(&p.life, "life", 0, "of the leaves; a day without it")
	flag.BoolVar(&p.plainHTTP, "plain-http", true, "no TLS")
	flag.Parse()
	p.keys = strings.Split(*keys, ",")

	ctx := context.Background()
	must(os.MkdirAll(p.out, 0o755))
	repo, err := remote.NewRepository(p.registryHost + "/" + p.repository)
	must(err)
	repo.PlainHTTP = p.plainHTTP

	root, other := p.newAuthority("root"), p.newAuthority("other-root")
	media := map[string]string{"jws": jws.MediaTypeEnvelope, "cose": cose.MediaTypeEnvelope}
	for _, form := range []string{"jws", "cose"} {
		for _, key := range p.keys {
			s := signing{tag: form + "-" + key, keyType: key, mediaType: media[form], by: root}
			p.record(s, p.sign(ctx, repo, s), "ca", "")
			if p.tsaURL != "" {
				s.tag, s.isStamped = s.tag+"-stamped", true
				p.record(s, p.sign(ctx, repo, s), "", "")
			}
		}
		s := signing{tag: form + "-untrusted", keyType: "p256", mediaType: media[form], by: other}
		p.record(s, p.sign(ctx, repo, s), "ca", "cert_chain_untrusted")
		s = signing{tag: form + "-expired", keyType: "p256", mediaType: media[form], by: root,
			expiry: time.Second}
		p.record(s, p.sign(ctx, repo, s), "ca", "notation_expired")
		s = signing{tag: form + "-source", keyType: "p256", mediaType: media[form], by: root}
		source := p.sign(ctx, repo, s)
		p.record(s, source, "ca", "")
		s.tag = form + "-moved"
		moved := p.push(ctx, repo, s.tag)
		p.moveSignature(ctx, repo, source, moved)
		p.record(s, moved, "ca", "payload_digest_mismatch")
		s.tag = form + "-unsigned"
		p.record(s, p.push(ctx, repo, s.tag), "ca", "no_signature_found")
		p.special(ctx, repo, form, media[form], root)
	}
	time.Sleep(1100 * time.Millisecond) // until the expired ones are
	text, err := json.MarshalIndent(p.results, "", " ")
	must(err)
	must(os.WriteFile(filepath.Join(p.out, "cases.json"), append(text, '\n'), 0o644))
}
