package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/notation-go/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/veraison/go-cose"
	"oras.land/oras-go/v2/registry/remote"
)

const payloadType = "application/vnd.cncf.notary.payload.v1+json"

// An envelope about IMAGE by notation-core-go, which knows what notation-go does not offer.
func (p *program) envelope(s signing, image ocispec.Descriptor, scheme signature.SigningScheme,
	attributes ...signature.Attribute) []byte {
	content, err := json.Marshal(map[string]any{"targetArtifact": image})
	must(err)
	key := newKey(s.keyType)
	chain := []*x509.Certificate{p.issue("leaf-"+s.tag, key, s.by), s.by.cert}
	local, err := signature.NewLocalSigner(chain, key)
	must(err)
	envelope, err := signature.NewEnvelope(s.mediaType)
	must(err)
	blob, err := envelope.Sign(&signature.SignRequest{
		Payload:                  signature.Payload{ContentType: payloadType, Content: content},
		Signer:                   local,
		SigningTime:              time.Now().Add(-time.Second).Truncate(time.Second),
		SigningScheme:            scheme,
		ExtendedSignedAttributes: attributes,
	})
	must(err)
	return blob
}

func (p *program) attach(ctx context.Context, repo *remote.Repository, s signing,
	image ocispec.Descriptor, blob []byte) {
	thumbprint := fmt.Sprintf("[\"%x\"]", sha256.Sum256([]byte(s.tag))) // a hint, no more: any will do
	_, _, err := registry.NewRepository(repo).PushSignature(ctx, s.mediaType, blob, image,
		map[string]string{"io.cncf.notary.x509chain.thumbprint#S256": thumbprint})
	must(err)
}

func digestOf(text []byte) []byte {
	sum := sha256.Sum256(text)
	return sum[:]
}

// The envelope with a signature by KEY, whose certificate it does not carry.
func resignJWS(blob []byte, key *ecdsa.PrivateKey) []byte {
	var fields map[string]any
	must(json.Unmarshal(blob, &fields))
	r, s, err := ecdsa.Sign(rand.Reader, key,
		digestOf([]byte(fields["protected"].(string)+"."+fields["payload"].(string))))
	must(err)
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	fields["signature"] = base64.RawURLEncoding.EncodeToString(raw)
	text, err := json.Marshal(fields)
	must(err)
	return text
}

func resignCOSE(blob []byte, key *ecdsa.PrivateKey) []byte {
	var message cose.Sign1Message
	must(message.UnmarshalCBOR(blob))
	signer, err := cose.NewSigner(cose.AlgorithmES256, key)
	must(err)
	message.Signature = nil
	must(message.Sign(rand.Reader, nil, signer))
	text, err := message.MarshalCBOR()
	must(err)
	return text
}

// The envelope with another payload under the old signature.
func tamperJWS(blob, payload []byte) []byte {
	var fields map[string]any
	must(json.Unmarshal(blob, &fields))
	fields["payload"] = base64.RawURLEncoding.EncodeToString(payload)
	text, err := json.Marshal(fields)
	must(err)
	return text
}

func tamperCOSE(blob, payload []byte) []byte {
	var message cose.Sign1Message
	must(message.UnmarshalCBOR(blob))
	message.Payload = payload
	text, err := message.MarshalCBOR()
	must(err)
	return text
}

func critical(name, value string) signature.Attribute {
	return signature.Attribute{Key: name, Critical: true, Value: value}
}

// Envelopes that the tool itself does not make: broken ones, a signing authority's, AWS Signer's.
func (p *program) special(ctx context.Context, repo *remote.Repository, form, mediaType string,
	root *authority) {
	s := signing{tag: form + "-tampered", keyType: "p256", mediaType: mediaType, by: root}
	other := p.push(ctx, repo, form+"-tampered-source")
	image := p.push(ctx, repo, s.tag)
	payload, err := json.Marshal(map[string]any{"targetArtifact": image})
	must(err)
	blob := p.envelope(s, other, signature.SigningSchemeX509)
	if form == "jws" {
		blob = tamperJWS(blob, payload)
	} else {
		blob = tamperCOSE(blob, payload)
	}
	p.attach(ctx, repo, s, image, blob)
	p.record(s, image, "ca", "sig_invalid")

	s.tag = form + "-wrong-key"
	image = p.push(ctx, repo, s.tag)
	blob = p.envelope(s, image, signature.SigningSchemeX509)
	var stranger crypto.Signer = newKey("p256")
	if form == "jws" {
		blob = resignJWS(blob, stranger.(*ecdsa.PrivateKey))
	} else {
		blob = resignCOSE(blob, stranger.(*ecdsa.PrivateKey))
	}
	p.attach(ctx, repo, s, image, blob)
	p.record(s, image, "ca", "sig_invalid")

	s.tag = form + "-authority"
	image = p.push(ctx, repo, s.tag)
	p.attach(ctx, repo, s, image, p.envelope(s, image, signature.SigningSchemeX509SigningAuthority))
	p.record(s, image, "authority", "")

	s.tag, s.keyType = form+"-aws", "p384"
	image = p.push(ctx, repo, s.tag)
	p.attach(ctx, repo, s, image, p.envelope(s, image, signature.SigningSchemeX509SigningAuthority,
		critical("io.cncf.notary.verificationPlugin", "com.amazonaws.signer.notation.plugin"),
		critical("io.cncf.notary.verificationPluginMinVersion", "1.0.0"),
		critical("com.amazonaws.signer.signingProfileVersion",
			"arn:aws:signer:eu-west-1:111122223333:/signing-profiles/release/AbCdEfGh12"),
		critical("com.amazonaws.signer.signingJob",
			"arn:aws:signer:eu-west-1:111122223333:/signing-jobs/0b1f2e3d")))
	p.record(s, image, "aws", "")
}
