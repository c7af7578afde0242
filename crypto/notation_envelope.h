/*
 * A notation envelope as plain data, the same for JWS and COSE. The parsers know nothing of trust:
 * they check form and limits alone; notation_envelope_check() adds the rules both forms share.
 *
 * Spec: notaryproject/specifications, signature-specification.md
 */
#ifndef CRYPTO_NOTATION_ENVELOPE_H
#define CRYPTO_NOTATION_ENVELOPE_H

#include <jansson.h>

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;

#define NOTATION_MAX_ENVELOPE_BYTES (4u * 1024 * 1024)
#define NOTATION_MAX_CHAIN 10
#define NOTATION_MAX_CERTIFICATE_BYTES (64u * 1024)
#define NOTATION_MAX_TIMESTAMP_BYTES (64u * 1024)
#define NOTATION_MAX_CRIT 32
#define NOTATION_MAX_ATTRIBUTES 32

#define NOTATION_PAYLOAD_TYPE "application/vnd.cncf.notary.payload.v1+json"
#define NOTATION_HEADER_PREFIX "io.cncf.notary."
#define NOTATION_HEADER_SCHEME NOTATION_HEADER_PREFIX "signingScheme"
#define NOTATION_HEADER_SIGNING_TIME NOTATION_HEADER_PREFIX "signingTime"
#define NOTATION_HEADER_AUTHENTIC_TIME NOTATION_HEADER_PREFIX "authenticSigningTime"
#define NOTATION_HEADER_EXPIRY NOTATION_HEADER_PREFIX "expiry"
#define NOTATION_HEADER_PLUGIN NOTATION_HEADER_PREFIX "verificationPlugin"
#define NOTATION_HEADER_PLUGIN_VERSION NOTATION_HEADER_PREFIX "verificationPluginMinVersion"
#define NOTATION_HEADER_TIMESTAMP NOTATION_HEADER_PREFIX "timestampSignature"
#define NOTATION_HEADER_AGENT NOTATION_HEADER_PREFIX "signingAgent"

/* UNKNOWN is whatever the specification does not list, `none` and RS256 among it. */
enum notation_alg {
    NOTATION_ALG_UNKNOWN = 0,
    NOTATION_ALG_PS256,
    NOTATION_ALG_PS384,
    NOTATION_ALG_PS512,
    NOTATION_ALG_ES256,
    NOTATION_ALG_ES384,
    NOTATION_ALG_ES512
};

enum notation_scheme {
    NOTATION_SCHEME_UNKNOWN = 0,
    NOTATION_SCHEME_X509,
    NOTATION_SCHEME_SIGNING_AUTHORITY
};

/* A protected header the specification does not define. */
struct notation_attribute {
    struct bytes name;
    struct bytes text; /* data is NULL where the value is no text */
};

/* Zeroed before it is filled; free with notation_envelope_done(). Views point into the envelope's
 * own buffers or into the parsed bytes, which must outlive it. */
struct notation_envelope {
    enum notation_alg alg;
    struct bytes content_type;
    struct bytes scheme_text;
    enum notation_scheme scheme;
    bool has_signing_time;
    int64_t signing_unix_s; /* never used for trust */
    bool has_authentic_time;
    int64_t authentic_unix_s;
    bool has_expiry;
    int64_t expiry_unix_s;
    struct bytes plugin; /* data is NULL where there is none, here and below */
    struct bytes plugin_min_version;
    struct bytes agent;
    struct bytes timestamp; /* DER of a TimeStampToken */
    struct bytes crit[NOTATION_MAX_CRIT];
    size_t crit_count;
    struct notation_attribute attributes[NOTATION_MAX_ATTRIBUTES];
    size_t attribute_count;
    struct bytes chain[NOTATION_MAX_CHAIN]; /* DER, leaf first */
    size_t chain_count;
    struct bytes payload;
    struct bytes signature;
    struct bytes signed_input; /* what the signature covers */

    json_t *docs[2];
    struct bytes_buf owned[NOTATION_MAX_CHAIN + 6];
    size_t owned_count;
};

void notation_envelope_done(struct notation_envelope *envelope);

/* Keep BUF until the envelope is done. Takes: buf: taken. Gives: a view of it. */
struct bytes notation_envelope_own(struct notation_envelope *envelope, struct bytes_buf buf);

/* Whether NAME is listed as critical. */
bool notation_envelope_is_critical(const struct notation_envelope *envelope, const char *name);

/* The attribute NAME, or NULL. */
const struct notation_attribute *
notation_envelope_attribute(const struct notation_envelope *envelope, const char *name);

/*
 * The rules that both forms share: content type, critical headers, scheme and its times.
 *
 * Fails: PAYLOAD_TYPE_MISMATCH, NOTATION_CRIT_INVALID, NOTATION_CRIT_UNKNOWN (unless the header is
 *        one the AWS Signer profile reads and its plugin is named), NOTATION_SCHEME_UNSUPPORTED,
 *        NOTATION_ENVELOPE_INVALID
 */
GH_CHECKED bool notation_envelope_check(struct notation_envelope *envelope, struct gh_error *err);

#endif
