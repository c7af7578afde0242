#include "crypto/bundle.h"

#include <string.h>

#include "crypto/sjson.h"
#include "crypto/x509.h"
#include "metrics/error.h"

void bundle_done(struct bundle *bundle)
{
    sigstore_input_done(&bundle->input);
    dsse_done(&bundle->dsse);
    bytes_buf_done(&bundle->signature);
    json_decref(bundle->doc);
    memset(bundle, 0, sizeof(*bundle));
}

/* The media type is not signed: it says how to read the bundle, and nothing of what it proves. */
static bool bundle_read_version(struct bundle *bundle, struct gh_error *err)
{
    static const struct {
        const char *media_type;
        enum bundle_version version;
    } known[] = {
        {"application/vnd.dev.sigstore.bundle.v0.3+json", BUNDLE_V03},
        {"application/vnd.dev.sigstore.bundle+json;version=0.3", BUNDLE_V03},
        {"application/vnd.dev.sigstore.bundle+json;version=0.2", BUNDLE_V02},
        {"application/vnd.dev.sigstore.bundle+json;version=0.1", BUNDLE_V01},
    };
    struct bytes media_type;

    GH_TRY(sjson_opt_string(bundle->doc, "mediaType", &media_type, err));
    for (size_t i = 0; i < GH_COUNT(known); i++) {
        if (bytes_equal_cstr(media_type, known[i].media_type)) {
            bundle->version = known[i].version;
            return true;
        }
    }
    return gh_fail(err, GH_BUNDLE_MEDIA_TYPE_UNSUPPORTED,
                   "the bundle's media type is '%.*s', known are versions 0.1 to 0.3",
                   (int)GH_MIN(media_type.len, (size_t)80),
                   media_type.data != NULL ? (const char *)media_type.data : "");
}

static bool bundle_read_certificate(const json_t *object, struct x509_cert **out,
                                    struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf der = {0};

    GH_TRY(sjson_get_base64(object, "rawBytes", &der, err));
    return x509_cert_parse(bytes_view(&der), out, err);
}

static bool bundle_read_chain(struct bundle *bundle, const json_t *chain, struct gh_error *err)
{
    json_t *certificates;
    size_t count;

    if (bundle->version >= BUNDLE_V03) {
        return gh_fail(err, GH_BUNDLE_MATERIAL_INVALID,
                       "a bundle of version 0.3 carries one certificate, not a chain");
    }
    GH_TRY(sjson_opt_array(chain, "certificates", &certificates, err));
    count = json_array_size(certificates);
    if (count == 0) {
        return gh_fail(err, GH_BUNDLE_MATERIAL_INVALID, "the bundle's certificate chain is empty");
    }
    if (count > BUNDLE_MAX_CERTIFICATES) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "a chain of %zu certificates, at most %d",
                       count, BUNDLE_MAX_CERTIFICATES);
    }
    GH_TRY(bundle_read_certificate(json_array_get(certificates, 0), &bundle->input.leaf, err));
    for (size_t i = 1; i < count; i++) {
        struct x509_cert **hint = &bundle->input.hints[i - 1];

        GH_TRY(bundle_read_certificate(json_array_get(certificates, i), hint, err));
        bundle->input.hint_count = i;
        /* Roots come from the trust root alone; one that is sent along invites to trust it. */
        if (x509_cert_is_self_issued(*hint)) {
            return gh_fail(err, GH_BUNDLE_MATERIAL_INVALID,
                           "the bundle's certificate chain holds a root");
        }
    }
    return true;
}

static bool bundle_read_signer(struct bundle *bundle, const json_t *material, struct gh_error *err)
{
    json_t *certificate;
    json_t *chain;
    json_t *key;

    GH_TRY(sjson_opt_object(material, "certificate", &certificate, err));
    GH_TRY(sjson_opt_object(material, "x509CertificateChain", &chain, err));
    GH_TRY(sjson_opt_object(material, "publicKey", &key, err));
    if ((certificate != NULL) + (chain != NULL) + (key != NULL) != 1) {
        return gh_fail(err, GH_BUNDLE_MATERIAL_INVALID,
                       "wanted one of certificate, x509CertificateChain and publicKey, found %d",
                       (certificate != NULL) + (chain != NULL) + (key != NULL));
    }
    if (key != NULL) {
        GH_TRY(sjson_opt_string(key, "hint", &bundle->input.key_hint, err));
        if (bundle->input.key_hint.len == 0) {
            bundle->input.key_hint.data = NULL;
        }
        return true;
    }
    return certificate != NULL ? bundle_read_certificate(certificate, &bundle->input.leaf, err)
                               : bundle_read_chain(bundle, chain, err);
}

static bool bundle_read_timestamps(struct bundle *bundle, const json_t *material,
                                   struct gh_error *err)
{
    json_t *data;
    json_t *list = NULL;

    GH_TRY(sjson_opt_object(material, "timestampVerificationData", &data, err));
    if (data != NULL) {
        GH_TRY(sjson_opt_array(data, "rfc3161Timestamps", &list, err));
    }
    if (json_array_size(list) > SIGSTORE_MAX_TIMESTAMPS) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "%zu time stamps, at most %d are read",
                       json_array_size(list), SIGSTORE_MAX_TIMESTAMPS);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        GH_TRY(sjson_get_base64(json_array_get(list, i), "signedTimestamp",
                                &bundle->input.timestamps[i], err));
        bundle->input.timestamp_count = i + 1;
    }
    return true;
}

static bool bundle_read_material(struct bundle *bundle, struct gh_error *err)
{
    json_t *material;
    json_t *entries;

    GH_TRY(sjson_opt_object(bundle->doc, "verificationMaterial", &material, err));
    if (material == NULL) {
        return gh_fail(err, GH_BUNDLE_MATERIAL_INVALID, "the bundle has no verificationMaterial");
    }
    GH_TRY(bundle_read_signer(bundle, material, err));
    GH_TRY(bundle_read_timestamps(bundle, material, err));
    GH_TRY(sjson_opt_array(material, "tlogEntries", &entries, err));
    if (entries == NULL) {
        return true;
    }
    bundle->input.is_promise_required = bundle->version == BUNDLE_V01;
    bundle->input.is_proof_required = bundle->version >= BUNDLE_V02;
    return rekor_entries_read(entries, bundle->input.entries, &bundle->input.entry_count, err);
}

static bool bundle_read_digest(const json_t *object, struct digest *out, struct gh_error *err)
{
    static const struct {
        const char *name;
        enum digest_alg alg;
    } known[] = {
        {"SHA2_256", DIGEST_SHA256}, {"SHA2_384", DIGEST_SHA384}, {"SHA2_512", DIGEST_SHA512}};
    GH_OWN(bytes_buf_done) struct bytes_buf value = {0};
    struct digest digest = {0};
    struct bytes name;

    GH_TRY(sjson_get_string(object, "algorithm", &name, err));
    GH_TRY(sjson_get_base64(object, "digest", &value, err));
    for (size_t i = 0; i < GH_COUNT(known); i++) {
        if (bytes_equal_cstr(name, known[i].name)) {
            digest.alg = known[i].alg;
        }
    }
    if (digest.alg == DIGEST_NONE || value.len != digest_alg_len(digest.alg)) {
        return gh_fail(err, GH_BUNDLE_MALFORMED, "the message digest is not of a known algorithm");
    }
    memcpy(digest.value, value.data, value.len);
    *out = digest;
    return true;
}

static bool bundle_read_message(struct bundle *bundle, const json_t *message, struct gh_error *err)
{
    static const char *const keys[] = {"messageDigest", "signature", NULL};
    json_t *digest;

    GH_TRY(sjson_only_keys(message, keys, err));
    GH_TRY(sjson_get_base64(message, "signature", &bundle->signature, err));
    if (bundle->signature.len == 0 || bundle->signature.len > DSSE_MAX_SIGNATURE_BYTES) {
        return gh_fail(err, GH_BUNDLE_MALFORMED, "a signature of %zu bytes", bundle->signature.len);
    }
    GH_TRY(sjson_opt_object(message, "messageDigest", &digest, err));
    return digest == NULL || bundle_read_digest(digest, &bundle->message_digest, err);
}

static bool bundle_read_envelope(struct bundle *bundle, json_t *envelope, struct gh_error *err)
{
    static const char *const keys[] = {"payload", "payloadType", "signatures", NULL};
    struct bytes hint = bundle->input.key_hint;
    struct bytes keyid;

    GH_TRY(sjson_only_keys(envelope, keys, err));
    GH_TRY(dsse_read(envelope, BYTES_BASE64_STANDARD, &bundle->dsse, err));
    bundle->is_envelope = true;
    keyid = bundle->dsse.signatures[0].keyid;
    if (hint.data != NULL && keyid.data != NULL && !bytes_equal(hint, keyid)) {
        return gh_fail(err, GH_DSSE_KEYID_MISMATCH,
                       "the envelope's key id is %.*s, the bundle's hint %.*s",
                       (int)GH_MIN(keyid.len, (size_t)64), (const char *)keyid.data,
                       (int)GH_MIN(hint.len, (size_t)64), (const char *)hint.data);
    }
    return true;
}

static bool bundle_read_content(struct bundle *bundle, struct gh_error *err)
{
    json_t *message;
    json_t *envelope;

    GH_TRY(sjson_opt_object(bundle->doc, "messageSignature", &message, err));
    GH_TRY(sjson_opt_object(bundle->doc, "dsseEnvelope", &envelope, err));
    if (message != NULL && envelope != NULL) {
        return gh_fail(err, GH_BUNDLE_MALFORMED,
                       "the bundle holds a message signature and an envelope");
    }
    if (message == NULL && envelope == NULL) {
        return gh_fail(err, GH_BUNDLE_CONTENT_MISSING,
                       "the bundle holds neither a message signature nor an envelope");
    }
    return message != NULL ? bundle_read_message(bundle, message, err)
                           : bundle_read_envelope(bundle, envelope, err);
}

bool bundle_parse(struct bytes json, struct bundle *out, struct gh_error *err)
{
    GH_OWN(bundle_done) struct bundle bundle = {0};

    if (!sjson_parse_object(json, BUNDLE_MAX_BYTES, &bundle.doc, err) ||
        !bundle_read_version(&bundle, err) || !bundle_read_material(&bundle, err) ||
        !bundle_read_content(&bundle, err)) {
        return gh_recast(err, GH_BUNDLE_MALFORMED);
    }
    *out = bundle;
    memset(&bundle, 0, sizeof(bundle)); /* moved */
    return true;
}

struct bytes bundle_hint(const json_t *doc)
{
    const json_t *hint = sjson_pointer(doc, "/verificationMaterial/publicKey/hint");

    return json_is_string(hint) && json_string_length(hint) > 0 ? sjson_string(hint)
                                                                : (struct bytes){0};
}

/* One verification under way. */
struct bundle_state {
    struct bundle *bundle;
    const struct evidence_subject *subject;
    const struct signer *signer;
    const struct claims_wanted *wanted;
    int64_t now_unix_s;
    enum evidence_step *reached;
};

static bool bundle_check_message_digest(struct bundle_state *state, struct gh_error *err)
{
    const struct digest *claimed = &state->bundle->message_digest;
    const struct digest *found;

    if (claimed->alg == DIGEST_NONE) {
        return true;
    }
    GH_TRY(keyed_message_digest(&state->bundle->input.message, claimed->alg, &found, err));
    if (!digest_equal(claimed, found)) {
        return gh_fail(err, GH_MESSAGE_DIGEST_MISMATCH,
                       "the bundle was made for other content than what is decided");
    }
    return true;
}

static bool bundle_verify_message(struct bundle_state *state, struct evidence_proof *out,
                                  struct gh_error *err)
{
    struct sigstore_input *input = &state->bundle->input;
    const struct claims_wanted *wanted = state->wanted;

    if (wanted != NULL && wanted->is_attestation) {
        return gh_fail(err, GH_PREDICATE_TYPE_MISMATCH, "a message signature is no attestation");
    }
    input->form = SIGSTORE_MESSAGE;
    input->signature = bytes_view(&state->bundle->signature);
    input->imprint = input->signature;
    keyed_message_init_digest(&input->message, &state->subject->digest);
    input->message.bytes = state->subject->manifest;
    GH_TRY(bundle_check_message_digest(state, err));
    GH_TRY(sigstore_verify(input, state->signer, state->now_unix_s, state->reached, out, err));
    *state->reached = EVIDENCE_STEP_REFERENCE;
    GH_TRY(claims_check_reference(state->signer->match_reference, (struct bytes){0}, state->subject,
                                  err));
    if (wanted != NULL && wanted->annotation_count > 0) {
        return gh_fail(err, GH_ANNOTATION_MISMATCH,
                       "a message signature carries no annotations, wanted is %.60s",
                       wanted->annotations[0].name);
    }
    return true;
}

static bool bundle_verify_statement(struct bundle_state *state, const struct statement *statement,
                                    const struct gh_error *parse_failure,
                                    struct evidence_proof *out, struct gh_error *err)
{
    struct sigstore_input *input = &state->bundle->input;
    const struct dsse *dsse = &state->bundle->dsse;

    input->form = SIGSTORE_ENVELOPE;
    input->signature = bytes_view(&dsse->signatures[0].value);
    input->imprint = input->signature;
    input->payload = bytes_view(&dsse->payload);
    input->payload_type = dsse->payload_type;
    if (input->key_hint.data == NULL) {
        input->key_hint = dsse->signatures[0].keyid;
    }
    GH_TRY(keyed_message_init(&input->message, bytes_view(&dsse->pae), err));
    GH_TRY(sigstore_verify(input, state->signer, state->now_unix_s, state->reached, out, err));
    *state->reached = EVIDENCE_STEP_PAYLOAD;
    if (parse_failure->cause != GH_CAUSE_NONE) {
        return gh_fail(err, parse_failure->cause, "%s", parse_failure->text);
    }
    GH_TRY(claims_check_statement(statement, state->subject, state->signer->match_reference,
                                  state->wanted, state->reached, err));
    return bytes_dup(bytes_view(&dsse->payload), &out->payload, err);
}

static bool bundle_verify_envelope(struct bundle_state *state, struct evidence_proof *out,
                                   struct gh_error *err)
{
    GH_OWN(statement_done) struct statement statement = {0};
    struct gh_error failure = {0};

    GH_TRY(dsse_check_in_toto(&state->bundle->dsse, err));
    /* Of another type it is no candidate, whoever signed it; no cryptography is spent on it. */
    if (statement_parse(bytes_view(&state->bundle->dsse.payload), &statement, &failure)) {
        GH_TRY(claims_check_type(&statement, state->wanted, err));
    }
    return bundle_verify_statement(state, &statement, &failure, out, err);
}

bool bundle_verify(const struct evidence_item *item, const struct evidence_subject *subject,
                   const struct signer *signer, const struct claims_wanted *wanted,
                   int64_t now_unix_s, enum evidence_step *reached, struct evidence_proof *out,
                   struct gh_error *err)
{
    GH_OWN(bundle_done) struct bundle bundle = {0};
    struct bundle_state state = {
        .bundle = &bundle,
        .subject = subject,
        .signer = signer,
        .wanted = wanted,
        .now_unix_s = now_unix_s,
        .reached = reached,
    };
    struct evidence_proof proof = {0};

    *reached = EVIDENCE_STEP_PARSE;
    GH_TRY(bundle_parse(item->blob, &bundle, err));
    if (!(bundle.is_envelope ? bundle_verify_envelope(&state, &proof, err)
                             : bundle_verify_message(&state, &proof, err)) ||
        !evidence_proof_rest(&proof, EVIDENCE_REST_EVIDENCE, &item->digest, err)) {
        evidence_proof_done(&proof);
        return false;
    }
    *reached = EVIDENCE_STEP_DONE;
    *out = proof;
    return true;
}
