/*
 * Who may sign: signers compiled to what the formats' verifiers read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/checkpoint.h"
#include "crypto/key.h"
#include "crypto/pattern.h"
#include "crypto/signer.h"
#include "crypto/x509_fulcio.h"
#include "metrics/error.h"
#include "policy/arena.h"
#include "policy/compile.h"
#include "policy/image.h"
#include "policy/trust.h"

#define TRUST_MAX_WORDS 4096

static void trust_key_release(void *object)
{
    key_free(object);
}

static void trust_pattern_release(void *object)
{
    pattern_free(object);
}

static struct pattern *trust_pattern(struct compile *compile, enum pattern_kind kind,
                                     const char *text, const struct yaml_node *node)
{
    struct pattern *pattern = NULL;
    struct gh_error err = {0};

    if (!pattern_new(kind, bytes_of(text), &pattern, &err)) {
        config_error(&compile->reader, node, "%s", err.text);
        return NULL;
    }
    return compile_keep(compile, pattern, trust_pattern_release) ? pattern : NULL;
}

static void trust_fingerprint_pattern(struct fingerprint *fingerprint,
                                      const struct pattern *pattern)
{
    if (pattern == NULL) {
        fingerprint_put_int(fingerprint, -1);
        return;
    }
    fingerprint_put_int(fingerprint, pattern_kind(pattern));
    fingerprint_put(fingerprint, pattern_text(pattern));
}

/* ---- keys ---- */

static void trust_key_warn(struct compile *compile, const struct config_raw_key *raw,
                           const struct signer_key *key)
{
    int64_t now = compile->reader.now_unix_s;
    char described[64];

    key_describe(key->key, described, sizeof(described));
    if (key_is_weak(key->key)) {
        config_warning(&compile->reader, compile_node(&raw->at, "file"),
                       "the key %s (%s) is too weak: nothing it signs will verify", key->source,
                       described);
    }
    if (key->revoked != SIGNER_NOT_REVOKED) {
        config_warning(&compile->reader, compile_node(&raw->at, "revoked"), "the key %s is revoked",
                       key->source);
    } else if (key->not_after_unix_s < now) {
        config_warning(&compile->reader, compile_node(&raw->at, "not_after"),
                       "the key %s has expired", key->source);
    }
    if (key->not_before_unix_s > key->not_after_unix_s) {
        config_error(&compile->reader, compile_node(&raw->at, "not_after"),
                     "not_after of the key %s lies before its not_before", key->source);
    }
}

static bool trust_key(struct compile *compile, const struct config_raw_key *raw,
                      struct signer_key *out)
{
    const struct yaml_node *node = compile_node(&raw->at, "file");
    struct bytes_buf pem = {0};
    struct gh_error err = {0};
    bool is_parsed;

    if (raw->file == NULL) {
        return false; /* missing, or not supported yet: recorded where it was read */
    }
    if (!compile_read(compile, node, raw->file, KEY_MAX_PEM_BYTES, false, &pem)) {
        return false;
    }
    is_parsed = key_parse_pem(bytes_view(&pem), &out->key, &err);
    bytes_buf_done(&pem);
    if (!is_parsed) {
        config_error(&compile->reader, node, "%s: expected a PEM public key: %s", raw->file,
                     err.text);
        return false;
    }
    if (!compile_keep(compile, out->key, trust_key_release)) {
        return false;
    }
    out->source =
        arena_string(compile->reader.arena, node->kind == YAML_SCALAR ? node->text : raw->file);
    out->not_before_unix_s = raw->not_before_unix_s;
    out->not_after_unix_s = raw->not_after_unix_s;
    if (raw->revoked != NULL) {
        out->revoked = SIGNER_COMPROMISED + (enum signer_revoked)raw->revoked->reason;
        out->revoked_at_unix_s = raw->revoked->at_unix_s;
    }
    trust_key_warn(compile, raw, out);
    return out->source != NULL;
}

static bool trust_keys(struct compile *compile, const struct config_raw_signer *raw,
                       struct signer *signer, struct fingerprint *fingerprint)
{
    int64_t now = compile->reader.now_unix_s;
    bool is_good = raw->keys.count > 0;
    size_t valid = 0;

    signer->keys = compile_alloc(compile, raw->keys.count, sizeof(*signer->keys));
    if (signer->keys == NULL) {
        return false;
    }
    for (size_t i = 0; i < raw->keys.count; i++) {
        struct signer_key *key = &signer->keys[signer->key_count];

        if (!trust_key(compile, &raw->keys.items[i], key)) {
            is_good = false;
            continue;
        }
        for (size_t j = 0; j < signer->key_count; j++) {
            if (key_equal(signer->keys[j].key, key->key)) {
                config_error(&compile->reader, raw->keys.items[i].at.node,
                             "the signer \"%s\" names the same key twice: %s and %s", signer->name,
                             signer->keys[j].source, key->source);
            }
        }
        fingerprint_put_digest(fingerprint, key_fingerprint(key->key));
        fingerprint_put_int(fingerprint, key->not_before_unix_s);
        fingerprint_put_int(fingerprint, key->not_after_unix_s);
        fingerprint_put_int(fingerprint, key->revoked);
        fingerprint_put_int(fingerprint, key->revoked_at_unix_s);
        valid += key->revoked == SIGNER_NOT_REVOKED && key->not_before_unix_s <= now &&
                         key->not_after_unix_s >= now && !key_is_weak(key->key)
                     ? 1
                     : 0;
        signer->key_count++;
    }
    if (is_good && valid == 0) {
        config_warning(&compile->reader, raw->at.node,
                       "no key of the signer \"%s\" is valid now: nothing new can be signed",
                       signer->name);
    }
    return is_good;
}

/* ---- how many must vouch ---- */

/* A number above one asks for something: what it counts must be required. */
static bool trust_threshold(struct compile *compile, const struct config_at *at, const char *name,
                            int64_t value, enum signer_demand demand, size_t *out)
{
    *out = (size_t)value;
    if (value <= 1 || demand == SIGNER_REQUIRED) {
        return true;
    }
    config_error(&compile->reader, compile_node(at, name),
                 "%s: %lld of what is not required; expected %.*s: required beside it", name,
                 (long long)value, (int)(strlen(name) - strlen("_threshold")), name);
    return false;
}

static bool trust_witness(struct compile *compile, const struct config_raw_witness *raw,
                          struct checkpoint_witness *out)
{
    const struct yaml_node *node = compile_node(&raw->at, "file");
    struct bytes_buf pem = {0};
    struct key *key = NULL;
    struct gh_error err = {0};
    bool is_parsed;

    if (raw->file == NULL || raw->name == NULL ||
        !compile_read(compile, node, raw->file, KEY_MAX_PEM_BYTES, false, &pem)) {
        return false;
    }
    is_parsed = key_parse_pem(bytes_view(&pem), &key, &err);
    bytes_buf_done(&pem);
    if (!is_parsed) {
        config_error(&compile->reader, node, "%s: expected a PEM public key: %s", raw->file,
                     err.text);
        return false;
    }
    if (!compile_keep(compile, key, trust_key_release)) {
        return false;
    }
    if (key_type(key) != KEY_TYPE_ED25519) {
        config_error(&compile->reader, node, "%s: witnesses sign with Ed25519", raw->file);
        return false;
    }
    if (raw->name[0] == '\0' || strpbrk(raw->name, " \t\n+") != NULL) {
        config_error(&compile->reader, compile_node(&raw->at, "name"),
                     "found \"%.100s\", expected a witness's name, without spaces and plus signs",
                     raw->name);
        return false;
    }
    out->name = bytes_of(raw->name);
    out->key = key;
    return true;
}

static bool trust_witnesses(struct compile *compile, const struct config_raw_witnesses *raw,
                            struct signer *signer, struct fingerprint *fingerprint)
{
    struct checkpoint_witness *witnesses =
        compile_alloc(compile, raw->keys.count, sizeof(*witnesses));
    bool is_good = witnesses != NULL && raw->keys.count > 0;

    for (size_t i = 0; witnesses != NULL && i < raw->keys.count; i++) {
        struct checkpoint_witness *witness = &witnesses[signer->witness_count];

        if (!trust_witness(compile, &raw->keys.items[i], witness)) {
            is_good = false;
            continue;
        }
        for (size_t j = 0; j < signer->witness_count; j++) {
            if (key_equal(witnesses[j].key, witness->key)) {
                config_error(&compile->reader, raw->keys.items[i].at.node,
                             "the signer \"%s\" names the key of one witness twice", signer->name);
                is_good = false;
            }
        }
        fingerprint_put(fingerprint, witness->name);
        fingerprint_put_digest(fingerprint, key_fingerprint(witness->key));
        signer->witness_count++;
    }
    signer->witnesses = witnesses;
    signer->witness_threshold = (size_t)raw->threshold;
    if (is_good && signer->witness_threshold > signer->witness_count) {
        config_error(&compile->reader, compile_node(&raw->at, "threshold"),
                     "found %zu, expected at most %zu, as many as there are witnesses",
                     signer->witness_threshold, signer->witness_count);
        return false;
    }
    if (is_good && raw->threshold > 0 && signer->tlog != SIGNER_REQUIRED) {
        config_error(&compile->reader, raw->at.node,
                     "witnesses of a log that is not required; expected tlog: required beside it");
        return false;
    }
    return is_good && signer->witness_threshold > 0;
}

static bool trust_thresholds(struct compile *compile, const struct config_at *at,
                             const struct config_raw_thresholds *raw, struct signer *signer,
                             struct fingerprint *fingerprint)
{
    bool is_good = trust_threshold(compile, at, "tlog_threshold", raw->tlog, signer->tlog,
                                   &signer->tlog_threshold);

    is_good = trust_threshold(compile, at, "timestamp_threshold", raw->timestamp, signer->timestamp,
                              &signer->timestamp_threshold) &&
              is_good;
    is_good = trust_threshold(compile, at, "sct_threshold", raw->sct, signer->sct,
                              &signer->sct_threshold) &&
              is_good;
    if (raw->witnesses != NULL) {
        is_good = trust_witnesses(compile, raw->witnesses, signer, fingerprint) && is_good;
    }
    fingerprint_put_int(fingerprint, (int64_t)signer->tlog_threshold);
    fingerprint_put_int(fingerprint, (int64_t)signer->timestamp_threshold);
    fingerprint_put_int(fingerprint, (int64_t)signer->sct_threshold);
    fingerprint_put_int(fingerprint, (int64_t)signer->witness_threshold);
    return is_good;
}

static bool trust_keyed(struct compile *compile, const struct config_raw_signer *raw,
                        struct signer *signer, struct fingerprint *fingerprint)
{
    bool is_good;

    signer->type = SIGNER_KEYS;
    signer->tlog = raw->tlog == 1 ? SIGNER_REQUIRED : SIGNER_OFF;
    signer->timestamp = raw->timestamp == 1 ? SIGNER_REQUIRED : SIGNER_OPTIONAL;
    is_good = trust_keys(compile, raw, signer, fingerprint);
    if (raw->root != NULL) {
        const struct yaml_node *node = compile_node(&raw->at, "root");

        is_good = trust_use_root(compile, raw->root, node, signer) && is_good;
    } else if (signer->tlog == SIGNER_REQUIRED || signer->timestamp == SIGNER_REQUIRED) {
        config_error(&compile->reader,
                     compile_node(&raw->at, signer->tlog == SIGNER_REQUIRED ? "tlog" : "timestamp"),
                     "the signer \"%s\" asks for a %s: name the root that vouches for it",
                     signer->name,
                     signer->tlog == SIGNER_REQUIRED ? "transparency log" : "time stamp");
        is_good = false;
    }
    return trust_thresholds(compile, &raw->at, &raw->thresholds, signer, fingerprint) && is_good;
}

/* ---- keyless ---- */

static void trust_claim_words(char *out, size_t size)
{
    size_t used = 0;

    out[0] = '\0';
    for (unsigned arc = 1; arc <= X509_FULCIO_MAX_ARC && used < size; arc++) {
        const char *name = x509_fulcio_claim_name(arc);

        if (name != NULL) {
            used += (size_t)snprintf(out + used, size - used, "%s%s", used == 0 ? "" : "|", name);
        }
    }
}

static bool trust_claims(struct compile *compile, const struct config_raw_keyless *raw,
                         struct signer *signer, struct fingerprint *fingerprint)
{
    const struct yaml_node *map = compile_node(&raw->at, "claims");
    bool is_good = true;

    signer->claims = compile_alloc(compile, raw->claims.count, sizeof(*signer->claims));
    for (size_t i = 0; signer->claims != NULL && i < raw->claims.count; i++) {
        const struct config_pair *pair = &raw->claims.items[i];
        const struct yaml_node *node = yaml_get(map, pair->name);
        struct signer_claim *claim = &signer->claims[signer->claim_count];

        if (x509_fulcio_claim_arc(pair->name) == 0) {
            char words[TRUST_MAX_WORDS];
            char near[CONFIG_MAX_NEAREST];
            const char *nearest;

            trust_claim_words(words, sizeof(words));
            nearest = config_nearest(pair->name, words, near, sizeof(near));
            config_error_at_key(&compile->reader, node, "unknown claim \"%.100s\"%s%s%s",
                                pair->name, nearest == NULL ? "" : "; did you mean \"",
                                nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
            is_good = false;
            continue;
        }
        claim->name = pair->name;
        claim->pattern =
            trust_pattern(compile, strchr(pair->value, '*') == NULL ? PATTERN_EXACT : PATTERN_GLOB,
                          pair->value, node);
        is_good = is_good && claim->pattern != NULL;
        fingerprint_put_text(fingerprint, claim->name);
        trust_fingerprint_pattern(fingerprint, claim->pattern);
        signer->claim_count++;
    }
    return is_good && signer->claims != NULL;
}

/* One of an exact (or glob) text and a regular expression. */
static struct pattern *trust_either(struct compile *compile, const struct config_at *at,
                                    const char *name, const char *text, const char *regex,
                                    enum pattern_kind kind)
{
    char regex_name[32];

    (void)snprintf(regex_name, sizeof(regex_name), "%s_regex", name);
    if ((text == NULL) == (regex == NULL)) {
        config_error(&compile->reader, compile_node(at, text == NULL ? "" : regex_name),
                     "keyless: expected %s\"%s\" or \"%s\"", text == NULL ? "" : "only one of ",
                     name, regex_name);
        return NULL;
    }
    if (text != NULL && text[0] == '\0') {
        config_error(&compile->reader, compile_node(at, name),
                     "%s: found \"\", which no certificate names; expected a text", name);
        return NULL;
    }
    if (text != NULL) {
        return trust_pattern(compile, kind, text, compile_node(at, name));
    }
    return trust_pattern(compile, PATTERN_REGEX, regex, compile_node(at, regex_name));
}

static bool trust_keyless(struct compile *compile, const struct config_raw_signer *raw,
                          struct signer *signer, struct fingerprint *fingerprint)
{
    const struct config_raw_keyless *keyless = raw->keyless;
    bool is_good = true;

    signer->type = SIGNER_KEYLESS;
    signer->tlog = keyless->tlog == 0 ? SIGNER_REQUIRED : SIGNER_OFF;
    signer->timestamp = keyless->timestamp == 0 ? SIGNER_REQUIRED : SIGNER_OPTIONAL;
    signer->sct = keyless->sct == 0 ? SIGNER_REQUIRED : SIGNER_OFF;
    if (signer->tlog == SIGNER_OFF && signer->timestamp != SIGNER_REQUIRED) {
        config_error(&compile->reader, compile_node(&keyless->at, "tlog"),
                     "keyless: without a transparency log nothing but a time stamp proves when "
                     "the signature was made; expected timestamp: required");
        is_good = false;
    }
    signer->issuer = trust_either(compile, &keyless->at, "issuer", keyless->issuer,
                                  keyless->issuer_regex, PATTERN_EXACT);
    signer->subject = trust_either(compile, &keyless->at, "subject", keyless->subject,
                                   keyless->subject_regex, PATTERN_GLOB);
    fingerprint_put_int(fingerprint, signer->sct);
    trust_fingerprint_pattern(fingerprint, signer->issuer);
    trust_fingerprint_pattern(fingerprint, signer->subject);
    is_good = trust_claims(compile, keyless, signer, fingerprint) && is_good;
    is_good = trust_thresholds(compile, &keyless->at, &keyless->thresholds, signer, fingerprint) &&
              is_good;
    if (keyless->root != NULL) {
        is_good =
            trust_use_root(compile, keyless->root, compile_node(&keyless->at, "root"), signer) &&
            is_good;
    }
    return is_good && signer->issuer != NULL && signer->subject != NULL && keyless->root != NULL;
}

/* ---- all ---- */

/* What stands beside keyless or notation but is about keys would be ignored: an error. */
static void trust_refuse_key_fields(struct compile *compile, const struct config_raw_signer *raw)
{
    static const char *const names[] = {"tlog",           "timestamp",           "root",
                                        "tlog_threshold", "timestamp_threshold", "witnesses"};

    for (size_t i = 0; i < GH_COUNT(names); i++) {
        const struct yaml_node *node = yaml_get(raw->at.node, names[i]);

        if (node != NULL) {
            config_error_at_key(&compile->reader, node,
                                "\"%s\" beside \"keys\" only; expected it inside \"%s\"", names[i],
                                raw->keyless != NULL ? "keyless" : "notation");
        }
    }
    if (raw->notation != NULL && raw->match_reference != 0) {
        config_error_at_key(&compile->reader, yaml_get(raw->at.node, "match_reference"),
                            "notation signatures carry no image name that could match");
    }
}

static bool trust_repository(struct compile *compile, const struct config_raw_signer *raw,
                             struct signer *signer)
{
    const struct yaml_node *node = compile_node(&raw->at, "signature_repository");
    struct image_ref ref;
    struct gh_error err = {0};

    if (raw->signature_repository == NULL) {
        return true;
    }
    if (!image_ref_parse(bytes_of(raw->signature_repository), NULL, &ref, &err) ||
        ref.tag[0] != '\0' || ref.digest.alg != DIGEST_NONE) {
        config_error(&compile->reader, node,
                     "signature_repository: found \"%.150s\", expected upstream/repository",
                     raw->signature_repository);
        return false;
    }
    if (config_tenant_upstream(compile->tenant, ref.upstream) == NULL) {
        config_error(&compile->reader, node,
                     "signature_repository: \"%s\" is not one of the upstreams", ref.upstream);
        return false;
    }
    signer->signature_repository = arena_string(compile->reader.arena, ref.name);
    return signer->signature_repository != NULL;
}

static struct signer *trust_signer(struct compile *compile, const struct config_raw_signer *raw)
{
    struct signer *signer = compile_alloc(compile, 1, sizeof(*signer));
    struct fingerprint fingerprint;
    struct gh_error err = {0};
    bool is_good = false;

    if (signer == NULL) {
        return NULL;
    }
    signer->name = arena_string(compile->reader.arena, raw->at.name);
    signer->root_stale_at_unix_s = INT64_MAX;
    fingerprint_init(&fingerprint, "signer");
    if (raw->keyless != NULL || raw->notation != NULL) {
        trust_refuse_key_fields(compile, raw);
    }
    if (raw->keyless != NULL) {
        is_good = trust_keyless(compile, raw, signer, &fingerprint);
    } else if (raw->notation != NULL) {
        is_good = trust_notation(compile, raw, signer, &fingerprint);
    } else if (raw->keys.count > 0) {
        is_good = trust_keyed(compile, raw, signer, &fingerprint);
    }
    signer->match_reference = (enum signer_reference)raw->match_reference;
    signer->is_emergency = raw->is_emergency;
    is_good = trust_repository(compile, raw, signer) && is_good;
    fingerprint_put_int(&fingerprint, signer->type);
    fingerprint_put_int(&fingerprint, signer->tlog);
    fingerprint_put_int(&fingerprint, signer->timestamp);
    fingerprint_put_int(&fingerprint, signer->match_reference);
    fingerprint_put_digest(&fingerprint, &signer->root_fingerprint);
    fingerprint_put_text(&fingerprint, signer->signature_repository);
    if (!fingerprint_final(&fingerprint, &signer->fingerprint, &err)) {
        config_error(&compile->reader, raw->at.node, "%s", err.text);
        return NULL;
    }
    return is_good && signer->name != NULL ? signer : NULL;
}

void compile_signers(struct compile *compile)
{
    const struct config_raw_signers *raw = &compile->raw.signers;
    const struct signer **signers = compile_alloc(compile, raw->count, sizeof(*signers));

    compile->signers = compile_alloc(compile, raw->count, sizeof(*compile->signers));
    if (compile->signers == NULL || signers == NULL) {
        return;
    }
    for (size_t i = 0; i < raw->count; i++) {
        compile->signers[i].raw = &raw->items[i];
        compile->signers[i].signer = trust_signer(compile, &raw->items[i]);
        if (compile->signers[i].signer != NULL) {
            signers[compile->tenant->snapshot.signer_count++] = compile->signers[i].signer;
        }
    }
    compile->tenant->snapshot.signers = signers;
}

const struct signer *compile_signer_find(struct compile *compile, const char *name,
                                         const struct yaml_node *node)
{
    char words[TRUST_MAX_WORDS] = "";
    size_t used = 0;

    for (size_t i = 0; i < compile->raw.signers.count; i++) {
        if (strcmp(compile->raw.signers.items[i].at.name, name) == 0) {
            if (compile->signers == NULL) {
                return NULL;
            }
            compile->signers[i].is_used = true;
            return compile->signers[i].signer;
        }
    }
    for (size_t i = 0; i < compile->raw.signers.count && used < sizeof(words); i++) {
        used += (size_t)snprintf(words + used, sizeof(words) - used, "%s%s", used == 0 ? "" : "|",
                                 compile->raw.signers.items[i].at.name);
    }
    config_error_found(&compile->reader, node, "the name of a signer", words, "signer");
    return NULL;
}

void compile_unused(struct compile *compile)
{
    for (size_t i = 0; compile->signers != NULL && i < compile->raw.signers.count; i++) {
        const struct config_raw_signer *raw = &compile->raw.signers.items[i];

        if (!compile->signers[i].is_used) {
            config_problem_add(&compile->reader, CONFIG_WARNING, raw->at.node->key_line,
                               raw->at.node->key_column, "no policy uses this signer", raw->at.name,
                               NULL, NULL);
        }
    }
    for (size_t i = 0; compile->roots != NULL && i < compile->raw.roots.count; i++) {
        const struct config_raw_root *raw = &compile->raw.roots.items[i];

        if (!compile->roots[i].is_used) {
            config_problem_add(&compile->reader, CONFIG_WARNING, raw->at.node->key_line,
                               raw->at.node->key_column, "no signer uses this root", raw->at.name,
                               NULL, NULL);
        }
    }
}
