#include "crypto/rekor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "crypto/rekor_body.h"
#include "tests/support/log_case.h"

#define ROOT "trusted_root.json"

static enum gh_cause rekor_cause(struct log_case *c)
{
    struct rekor_proof proofs[REKOR_MAX_ENTRIES];
    struct gh_error err = {0};
    size_t count = 0;
    bool ok = rekor_verify(c->entries, c->entry_count, c->root, &c->what, &c->options, LOG_CASE_NOW,
                           proofs, &count, &err);

    assert_int_equal(ok, err.cause == GH_CAUSE_NONE);
    return err.cause;
}

static void rekor_verify_good_entries_count(void **state)
{
    static const char *const names[] = {"github-bundle.json",       "rekor2-bundle.json",
                                        "intoto002-bundle.json",    "github-legacy.json",
                                        "attest-slsa1-legacy.json", "attest-legacy-intoto002.json"};

    for (size_t i = 0; i < GH_COUNT(names); i++) {
        struct rekor_proof proof = {0};
        struct gh_error err = {0};
        struct log_case c;
        size_t count = 0;

        log_case_open(&c, names[i], ROOT);
        if (!rekor_verify(c.entries, c.entry_count, c.root, &c.what, &c.options, LOG_CASE_NOW,
                          &proof, &count, &err)) {
            fail_msg("%s: %s: %s", names[i], gh_cause_label(err.cause), err.text);
        }
        assert_int_equal(count, 1);
        assert_int_equal(proof.has_time, strstr(names[i], "rekor2") == NULL);
        assert_int_equal(proof.integrated_unix_s != 0, proof.has_time);
        log_case_done(&c);
    }
}

/* ---- one broken field at a time ---- */

static void break_promise(struct log_case *c)
{
    c->entries[0].promise.data[c->entries[0].promise.len - 1] ^= 1;
}

static void break_time(struct log_case *c)
{
    c->entries[0].integrated_unix_s++;
}

static void break_log_index(struct log_case *c)
{
    c->entries[0].log_index++;
}

static void break_log_id(struct log_case *c)
{
    c->entries[0].log_id[0] ^= 1;
}

static void drop_log_id(struct log_case *c)
{
    c->entries[0].has_log_id = false;
}

static void drop_body(struct log_case *c)
{
    c->entries[0].body.len = 0;
}

static void drop_promise(struct log_case *c)
{
    c->entries[0].promise.len = 0;
    c->options.is_promise_required = true;
}

static void drop_proof(struct log_case *c)
{
    c->entries[0].has_proof = false;
    c->options.is_proof_required = true;
}

static void drop_promise_and_proof(struct log_case *c)
{
    c->entries[0].promise.len = 0;
    c->entries[0].has_proof = false;
}

static void drop_checkpoint(struct log_case *c)
{
    c->entries[0].checkpoint.len = 0;
}

static void break_hash(struct log_case *c)
{
    c->entries[0].hashes[0][0] ^= 1;
}

static void cut_hashes(struct log_case *c)
{
    c->entries[0].hash_count--;
}

static void add_hash(struct log_case *c)
{
    struct rekor_entry *entry = &c->entries[0];

    entry->hashes = realloc(entry->hashes, (entry->hash_count + 1) * 32);
    assert_non_null(entry->hashes);
    memset(entry->hashes[entry->hash_count++], 7, 32);
}

static void break_proof_index(struct log_case *c)
{
    c->entries[0].proof_index ^= 1;
}

static void use_global_index(struct log_case *c)
{
    c->entries[0].proof_index = c->entries[0].log_index + 1000000;
}

static void break_proof_root(struct log_case *c)
{
    c->entries[0].proof_root[0] ^= 1;
}

static void break_proof_size(struct log_case *c)
{
    c->entries[0].proof_size++;
}

static void break_checkpoint_signature(struct log_case *c)
{
    struct rekor_entry *entry = &c->entries[0];
    uint8_t *at = &entry->checkpoint.data[entry->checkpoint.len - 20];

    *at = *at == 'A' ? 'B' : 'A';
}

static void break_checkpoint_origin(struct log_case *c)
{
    c->entries[0].checkpoint.data[0] ^= 1;
}

static void break_checkpoint_text(struct log_case *c)
{
    c->entries[0].checkpoint.data[c->entries[0].checkpoint.len - 1] = ' ';
}

static void break_kind(struct log_case *c)
{
    strcpy(c->entries[0].kind, "intoto");
    strcpy(c->entries[0].version, "0.0.2");
}

static void name_rekord(struct log_case *c)
{
    strcpy(c->entries[0].kind, "rekord");
}

static void name_dsse_2(struct log_case *c)
{
    strcpy(c->entries[0].kind, "dsse");
    strcpy(c->entries[0].version, "0.0.2");
}

static void break_content(struct log_case *c)
{
    c->what.content = c->what.content == REKOR_DSSE ? REKOR_MESSAGE : REKOR_DSSE;
}

static void break_payload(struct log_case *c)
{
    c->what.payload_sha256.value[0] ^= 1;
}

static void break_message(struct log_case *c)
{
    c->what.sha256.value[0] ^= 1;
}

static void break_signature(struct log_case *c)
{
    c->signature.data[c->signature.len - 1] ^= 1;
}

static void cut_leaf(struct log_case *c)
{
    c->what.leaf.len--;
}

static void use_bare_key(struct log_case *c)
{
    c->what.leaf = bytes_make(NULL, 0);
}

static void change_envelope(struct log_case *c)
{
    c->what.envelope.len--;
}

static void drop_envelope(struct log_case *c)
{
    c->what.envelope = bytes_make(NULL, 0);
}

static void break_payload_type(struct log_case *c)
{
    c->what.payload_type = BYTES_LITERAL("text/plain");
}

static void use_pure_ed25519(struct log_case *c)
{
    static const uint8_t spki[44] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b,
                                     0x65, 0x70, 0x03, 0x21, 0x00, 9};

    assert_true(key_parse_spki(bytes_make(spki, sizeof(spki)), &c->key, NULL));
    c->what.key = c->key;
    c->what.scheme = KEY_SCHEME_ED25519;
}

static void want_two(struct log_case *c)
{
    c->options.threshold = 2;
}

static void repeat_entry(struct log_case *c)
{
    c->entries[1] = c->entries[0];
    c->entry_count = 2;
}

static void drop_entries(struct log_case *c)
{
    c->entry_count = 0;
}

static void want_witness(struct log_case *c)
{
    c->options.witness_threshold = 1;
}

static void time_before_window(struct log_case *c)
{
    static const int64_t early[] = {1000000000};

    c->options.times_unix_s = early;
    c->options.time_count = 1;
}

static const struct {
    const char *bundle;
    void (*change)(struct log_case *c);
    enum gh_cause cause;
} rekor_broken[] = {
    {"github-bundle.json", break_promise, GH_SET_INVALID},
    {"github-bundle.json", break_time, GH_SET_INVALID},
    {"github-bundle.json", break_log_index, GH_SET_INVALID},
    {"github-bundle.json", break_log_id, GH_TLOG_LOG_UNKNOWN},
    {"github-bundle.json", drop_log_id, GH_TLOG_LOG_UNKNOWN},
    {"github-bundle.json", drop_body, GH_TLOG_ENTRY_MALFORMED},
    {"github-bundle.json", drop_promise, GH_SET_MISSING},
    {"github-bundle.json", drop_promise_and_proof, GH_SET_MISSING},
    {"github-bundle.json", drop_proof, GH_INCLUSION_PROOF_MISSING},
    {"github-bundle.json", drop_checkpoint, GH_CHECKPOINT_MALFORMED},
    {"github-bundle.json", break_hash, GH_INCLUSION_PROOF_INVALID},
    {"github-bundle.json", cut_hashes, GH_INCLUSION_PROOF_INVALID},
    {"github-bundle.json", add_hash, GH_INCLUSION_PROOF_INVALID},
    {"github-bundle.json", break_proof_index, GH_INCLUSION_PROOF_INVALID},
    {"github-bundle.json", use_global_index, GH_INCLUSION_PROOF_INVALID},
    {"github-bundle.json", break_proof_root, GH_CHECKPOINT_ROOT_MISMATCH},
    {"github-bundle.json", break_proof_size, GH_CHECKPOINT_ROOT_MISMATCH},
    {"github-bundle.json", break_checkpoint_signature, GH_CHECKPOINT_SIGNATURE_INVALID},
    {"github-bundle.json", break_checkpoint_text, GH_CHECKPOINT_MALFORMED},
    {"github-bundle.json", break_kind, GH_TLOG_KIND_MISMATCH},
    {"github-bundle.json", name_rekord, GH_TLOG_ENTRY_TYPE_UNSUPPORTED},
    {"github-bundle.json", name_dsse_2, GH_TLOG_ENTRY_TYPE_UNSUPPORTED},
    {"github-bundle.json", break_content, GH_TLOG_KIND_MISMATCH},
    {"github-bundle.json", break_payload, GH_TLOG_DIGEST_MISMATCH},
    {"github-bundle.json", break_signature, GH_TLOG_SIGNATURE_MISMATCH},
    {"github-bundle.json", cut_leaf, GH_TLOG_KEY_MISMATCH},
    {"github-bundle.json", use_bare_key, GH_TLOG_KEY_MISMATCH},
    {"github-bundle.json", want_two, GH_TLOG_THRESHOLD_NOT_MET},
    {"github-bundle.json", drop_entries, GH_TLOG_MISSING},
    {"github-bundle.json", want_witness, GH_WITNESS_THRESHOLD_NOT_MET},
    {"github-bundle.json", time_before_window, GH_TLOG_KEY_WINDOW},
    {"github-legacy.json", break_promise, GH_SET_INVALID},
    {"github-legacy.json", break_time, GH_SET_INVALID},
    {"github-legacy.json", break_message, GH_TLOG_DIGEST_MISMATCH},
    {"github-legacy.json", break_signature, GH_TLOG_SIGNATURE_MISMATCH},
    {"github-legacy.json", cut_leaf, GH_TLOG_KEY_MISMATCH},
    {"github-legacy.json", break_content, GH_TLOG_KIND_MISMATCH},
    {"attest-slsa1-legacy.json", break_payload, GH_TLOG_DIGEST_MISMATCH},
    {"attest-slsa1-legacy.json", change_envelope, GH_TLOG_DIGEST_MISMATCH},
    {"attest-slsa1-legacy.json", break_signature, GH_TLOG_SIGNATURE_MISMATCH},
    {"intoto002-bundle.json", break_payload, GH_TLOG_DIGEST_MISMATCH},
    {"intoto002-bundle.json", break_payload_type, GH_TLOG_DIGEST_MISMATCH},
    {"intoto002-bundle.json", break_signature, GH_TLOG_SIGNATURE_MISMATCH},
    {"intoto002-bundle.json", use_bare_key, GH_TLOG_KEY_MISMATCH},
    {"rekor2-bundle.json", drop_proof, GH_INCLUSION_PROOF_MISSING},
    {"rekor2-bundle.json", drop_checkpoint, GH_CHECKPOINT_MALFORMED},
    {"rekor2-bundle.json", break_log_id, GH_TLOG_LOG_UNKNOWN},
    {"rekor2-bundle.json", break_checkpoint_origin, GH_CHECKPOINT_ORIGIN_MISMATCH},
    {"rekor2-bundle.json", break_checkpoint_signature, GH_CHECKPOINT_SIGNATURE_INVALID},
    {"rekor2-bundle.json", break_proof_root, GH_CHECKPOINT_ROOT_MISMATCH},
    {"rekor2-bundle.json", break_proof_size, GH_CHECKPOINT_ROOT_MISMATCH},
    {"rekor2-bundle.json", break_proof_index, GH_INCLUSION_PROOF_INVALID},
    {"rekor2-bundle.json", break_message, GH_TLOG_DIGEST_MISMATCH},
    {"rekor2-bundle.json", break_signature, GH_TLOG_SIGNATURE_MISMATCH},
    {"rekor2-bundle.json", cut_leaf, GH_TLOG_KEY_MISMATCH},
    {"rekor2-bundle.json", use_bare_key, GH_TLOG_KEY_MISMATCH},
    {"rekor2-bundle.json", break_kind, GH_TLOG_KIND_MISMATCH},
    {"rekor2-bundle.json", use_pure_ed25519, GH_SIG_ALG_UNSUPPORTED},
    {"rekor2-bundle.json", want_two, GH_TLOG_THRESHOLD_NOT_MET},
    {"rekor2-bundle.json", want_witness, GH_WITNESS_THRESHOLD_NOT_MET},
    {"rekor2-bundle.json", time_before_window, GH_TLOG_KEY_WINDOW},
};

static void rekor_verify_broken_field_exact_cause(void **state)
{
    for (size_t i = 0; i < GH_COUNT(rekor_broken); i++) {
        enum gh_cause cause;
        struct log_case c;
        size_t count;

        log_case_open(&c, rekor_broken[i].bundle, ROOT);
        count = c.entry_count;
        rekor_broken[i].change(&c);
        cause = rekor_cause(&c);
        if (cause != rekor_broken[i].cause) {
            fail_msg("row %zu, %s: %s instead of %s", i, rekor_broken[i].bundle,
                     gh_cause_label(cause), gh_cause_label(rekor_broken[i].cause));
        }
        c.entry_count = count;
        log_case_done(&c);
    }
}

static void rekor_verify_repeated_entry_refused(void **state)
{
    struct log_case c;

    log_case_open(&c, "github-bundle.json", ROOT);
    repeat_entry(&c);
    assert_int_equal(rekor_cause(&c), GH_TLOG_DUPLICATE_ENTRY);
    c.entries[1].log_id[31] ^= 1; /* another log, which is unknown: passed over */
    assert_int_equal(rekor_cause(&c), GH_CAUSE_NONE);
    c.entry_count = 1;
    log_case_done(&c);
}

static void rekor_verify_absent_body_rebuilt(void **state)
{
    struct log_case c;

    log_case_open(&c, "rekor2-bundle.json", ROOT);
    drop_body(&c);
    assert_int_equal(rekor_cause(&c), GH_CAUSE_NONE);
    break_signature(&c);
    assert_int_equal(rekor_cause(&c), GH_INCLUSION_PROOF_INVALID);
    log_case_done(&c);
}

static void rekor_verify_proof_alone_no_time(void **state)
{
    struct rekor_proof proof = {0};
    struct log_case c;
    size_t count = 0;

    log_case_open(&c, "github-bundle.json", ROOT);
    c.entries[0].promise.len = 0;
    assert_true(rekor_verify(c.entries, 1, c.root, &c.what, &c.options, LOG_CASE_NOW, &proof,
                             &count, NULL));
    assert_false(proof.has_time);
    assert_int_equal(proof.integrated_unix_s, 0);
    log_case_done(&c);
}

static void rekor_verify_ended_log_key_refused(void **state)
{
    struct log_case c;

    log_case_open(&c, "github-bundle.json", "trusted_root-rekor-ended.json");
    assert_int_equal(rekor_cause(&c), GH_TLOG_KEY_WINDOW);
    log_case_done(&c);
}

static void rekor_verify_future_entry_refused(void **state)
{
    struct rekor_proof proof;
    struct gh_error err = {0};
    struct log_case c;
    int64_t at;

    log_case_open(&c, "github-bundle.json", ROOT);
    at = c.entries[0].integrated_unix_s;
    assert_true(
        rekor_entry_verify(&c.entries[0], c.root, &c.what, &c.options, at - 300, &proof, NULL));
    assert_false(
        rekor_entry_verify(&c.entries[0], c.root, &c.what, &c.options, at - 301, &proof, &err));
    assert_int_equal(err.cause, GH_TIMESTAMP_FUTURE);
    log_case_done(&c);
}

/* intoto 0.0.1 names the envelope and the key, never the signature. */
static void rekor_body_check_intoto_1_needs_envelope(void **state)
{
    struct rekor_entry entry = {0};
    struct gh_error err = {0};
    char pem[] = "-----BEGIN CERTIFICATE-----\n";
    char hash[2 * 32 + 1];
    struct digest digest;
    struct log_case c;
    json_t *body;
    char *text;
    char *key;

    log_case_open(&c, "attest-slsa1-legacy.json", ROOT);
    assert_true(digest_compute(DIGEST_SHA256, c.what.envelope, &digest, NULL));
    bytes_hex_encode(digest_bytes(&digest), hash);
    key = bytes_base64_encode(bytes_of(pem), BYTES_BASE64_STANDARD);
    body = json_pack("{s:s,s:s,s:{s:{s:{s:s,s:s}},s:s}}", "kind", "intoto", "apiVersion", "0.0.1",
                     "spec", "content", "hash", "algorithm", "sha256", "value", hash, "publicKey",
                     key);
    text = json_dumps(body, JSON_COMPACT);
    entry.body = (struct bytes_buf){(uint8_t *)text, strlen(text)};
    assert_false(rekor_body_check(&entry, &c.what, &err)); /* the key is no whole PEM block */
    assert_int_equal(err.cause, GH_TLOG_ENTRY_MALFORMED);
    gh_error_clear(&err);
    change_envelope(&c);
    assert_false(rekor_body_check(&entry, &c.what, &err));
    assert_int_equal(err.cause, GH_TLOG_DIGEST_MISMATCH);
    gh_error_clear(&err);
    drop_envelope(&c);
    assert_false(rekor_body_check(&entry, &c.what, &err));
    assert_int_equal(err.cause, GH_TLOG_ENTRY_TYPE_UNSUPPORTED);
    free(key);
    free(text);
    json_decref(body);
    log_case_done(&c);
}

/* A genuine entry of that kind, and each of its parts changed. */
static void rekor_body_check_intoto_1_parts_compared(void **state)
{
    static const struct {
        const char *pointer;
        enum gh_cause cause;
    } rows[] = {
        {NULL, GH_CAUSE_NONE},
        {"/spec/content/hash", GH_TLOG_DIGEST_MISMATCH},
        {"/spec/content/payloadHash", GH_TLOG_DIGEST_MISMATCH},
        {"/spec", GH_TLOG_KEY_MISMATCH},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct rekor_entry entry = {0};
        struct gh_error err = {0};
        char hash[2 * 32 + 1];
        char payload[2 * 32 + 1];
        struct digest digest;
        struct log_case other;
        struct log_case c;
        char *der;
        char *pem;
        char *key;
        char *text;
        json_t *body;

        log_case_open(&c, "attest-slsa1-legacy.json", ROOT);
        log_case_open(&other, "github-legacy.json", ROOT);
        assert_true(digest_compute(DIGEST_SHA256, c.what.envelope, &digest, NULL));
        bytes_hex_encode(digest_bytes(&digest), hash);
        bytes_hex_encode(digest_bytes(&c.what.payload_sha256), payload);
        der = bytes_base64_encode(rows[i].cause == GH_TLOG_KEY_MISMATCH ? other.what.leaf
                                                                        : c.what.leaf,
                                  BYTES_BASE64_STANDARD);
        assert_true(asprintf(&pem, "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n",
                             der) > 0);
        key = bytes_base64_encode(bytes_of(pem), BYTES_BASE64_STANDARD);
        body = json_pack("{s:s,s:s,s:{s:{s:{s:s,s:s},s:{s:s,s:s}},s:s}}", "kind", "intoto",
                         "apiVersion", "0.0.1", "spec", "content", "hash", "algorithm", "sha256",
                         "value", hash, "payloadHash", "algorithm", "sha256", "value", payload,
                         "publicKey", key);
        if (rows[i].cause == GH_TLOG_DIGEST_MISMATCH) {
            payload[0] = payload[0] == '0' ? '1' : '0';
            (void)json_object_set_new((json_t *)sjson_pointer(body, rows[i].pointer), "value",
                                      json_string(payload));
        }
        text = json_dumps(body, JSON_COMPACT);
        entry.body = (struct bytes_buf){(uint8_t *)text, strlen(text)};
        (void)!rekor_body_check(&entry, &c.what, &err);
        assert_int_equal(err.cause, rows[i].cause);
        free(text);
        json_decref(body);
        free(key);
        free(pem);
        free(der);
        log_case_done(&other);
        log_case_done(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rekor_verify_good_entries_count),
        cmocka_unit_test(rekor_verify_broken_field_exact_cause),
        cmocka_unit_test(rekor_verify_repeated_entry_refused),
        cmocka_unit_test(rekor_verify_absent_body_rebuilt),
        cmocka_unit_test(rekor_verify_proof_alone_no_time),
        cmocka_unit_test(rekor_verify_ended_log_key_refused),
        cmocka_unit_test(rekor_verify_future_entry_refused),
        cmocka_unit_test(rekor_body_check_intoto_1_needs_envelope),
        cmocka_unit_test(rekor_body_check_intoto_1_parts_compared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
