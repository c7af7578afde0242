#include "crypto/trustroot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/support/log_case.h"

static json_t *root_json(void)
{
    struct bytes_buf file = log_case_fixture("trusted_root.json");
    json_t *doc = json_loadb((const char *)file.data, file.len, 0, NULL);

    assert_non_null(doc);
    bytes_buf_done(&file);
    return doc;
}

static enum gh_cause root_cause(const json_t *doc)
{
    char *text = json_dumps(doc, JSON_COMPACT);
    struct trustroot *root = NULL;
    struct gh_error err = {0};
    bool ok;

    assert_non_null(text);
    ok = trustroot_parse(bytes_of(text), &root, &err);
    assert_int_equal(ok, err.cause == GH_CAUSE_NONE);
    trustroot_free(root);
    free(text);
    return err.cause;
}

static void trustroot_parse_good_contents_given(void **state)
{
    struct trustroot *root = log_case_root("trusted_root.json");
    const struct trustroot_log *logs;
    size_t count = 0;

    logs = trustroot_tlogs(root, &count);
    assert_int_equal(count, 2);
    assert_string_equal(logs[1].origin, "log2025-1.rekor.example.test");
    assert_string_equal(logs[1].host, "log2025-1.rekor.example.test");
    assert_int_equal(key_type(logs[1].key), KEY_TYPE_ED25519);
    assert_true(logs[0].start_unix_ms == (int64_t)1640995200 * 1000);
    assert_true(logs[0].end_unix_ms == INT64_MAX);
    assert_false(digest_equal(&logs[0].operator_id, &logs[1].operator_id));
    (void)trustroot_ctlogs(root, &count);
    assert_int_equal(count, 1);
    (void)trustroot_authorities(root, &count);
    assert_int_equal(count, 1);
    assert_int_equal(trustroot_tsa(root)->count, 1);
    assert_non_null(trustroot_tsa(root)->items[0].leaf);
    assert_non_null(trustroot_memo(root));
    trustroot_free(root);
}

static void trustroot_log_covers_both_ends(void **state)
{
    struct trustroot_log log = {.start_unix_ms = 10, .end_unix_ms = 20};

    assert_false(trustroot_log_covers(&log, 9));
    assert_true(trustroot_log_covers(&log, 10));
    assert_true(trustroot_log_covers(&log, 20));
    assert_false(trustroot_log_covers(&log, 21));
}

static void trustroot_parse_broken_member_refused(void **state)
{
    static const struct {
        const char *owner;
        const char *name;
        const char *value; /* NULL: removed */
        enum gh_cause cause;
    } rows[] = {
        {"", "mediaType", NULL, GH_TRUST_ROOT_MALFORMED},
        {"", "mediaType", "\"application/json\"", GH_TRUST_ROOT_MALFORMED},
        {"", "mediaType", "\"application/vnd.dev.sigstore.signingconfig.v0.2+json\"",
         GH_TRUST_ROOT_MALFORMED},
        {"", "mediaType", "\"application/vnd.dev.sigstore.trustedroot.v0.2+json\"", GH_CAUSE_NONE},
        {"", "unknown", "{}", GH_CAUSE_NONE},
        {"", "tlogs", "{}", GH_TRUST_ROOT_MALFORMED},
        {"", "tlogs", "[7]", GH_TRUST_ROOT_MALFORMED},
        {"", "certificateAuthorities", "[7]", GH_TRUST_ROOT_MALFORMED},
        {"", "timestampAuthorities", "[7]", GH_TRUST_ROOT_MALFORMED},
        {"/tlogs/0", "hashAlgorithm", "\"SHA2_512\"", GH_TRUST_ROOT_MALFORMED},
        {"/tlogs/0", "publicKey", NULL, GH_TRUST_ROOT_MALFORMED},
        {"/tlogs/0", "checkpointKeyId", "{\"keyId\":\"AAA=\"}", GH_TRUST_ROOT_MALFORMED},
        {"/tlogs/0", "checkpointKeyId", "{\"keyId\":\"AAAAAA==\"}", GH_CAUSE_NONE},
        {"/tlogs/0/publicKey", "rawBytes", "\"!\"", GH_TRUST_ROOT_MALFORMED},
        {"/tlogs/0/publicKey", "rawBytes", NULL, GH_TRUST_ROOT_MALFORMED},
        {"/tlogs/0/publicKey", "keyDetails", NULL, GH_TRUST_ROOT_MALFORMED},
        {"/tlogs/0/publicKey", "keyDetails", "\"LMS_SHA256\"", GH_CAUSE_NONE},
        {"/tlogs/0/publicKey", "keyDetails", "\"PKIX_ED25519\"", GH_TRUST_ROOT_MALFORMED},
        {"/tlogs/0/publicKey", "validFor", NULL, GH_TRUST_ROOT_MALFORMED},
        {"/tlogs/0/publicKey/validFor", "start", NULL, GH_TRUST_ROOT_MALFORMED},
        {"/ctlogs/0/publicKey/validFor", "start", NULL, GH_TRUST_ROOT_MALFORMED},
        {"/tlogs/0/publicKey/validFor", "start", "\"2022-01-01\"", GH_TRUST_ROOT_MALFORMED},
        {"/tlogs/0/publicKey/validFor", "start", "\"2022-02-30T00:00:00Z\"",
         GH_TRUST_ROOT_MALFORMED},
        {"/tlogs/0/publicKey/validFor", "start", "\"2022-01-01T00:00:00+01:00\"",
         GH_TRUST_ROOT_MALFORMED},
        {"/tlogs/0/publicKey/validFor", "start", "\"2022-01-01T00:00:00.Z\"",
         GH_TRUST_ROOT_MALFORMED},
        {"/tlogs/0/publicKey/validFor", "start", "\"2022-01-01T00:00:00.123456789Z\"",
         GH_CAUSE_NONE},
        {"/tlogs/0/publicKey/validFor", "end", "\"2021-01-01T00:00:00Z\"", GH_TRUST_ROOT_MALFORMED},
        {"/certificateAuthorities/0", "certChain", NULL, GH_TRUST_ROOT_MALFORMED},
        {"/certificateAuthorities/0/certChain", "certificates", "[]", GH_TRUST_ROOT_MALFORMED},
        {"/certificateAuthorities/0/validFor", "start", NULL, GH_CAUSE_NONE},
        {"/certificateAuthorities/0/validFor", "end", "7", GH_TRUST_ROOT_MALFORMED},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        json_t *doc = root_json();
        json_t *owner = (json_t *)sjson_pointer(doc, rows[i].owner);
        enum gh_cause cause;

        assert_non_null(owner);
        if (rows[i].value == NULL) {
            assert_int_equal(json_object_del(owner, rows[i].name), 0);
        } else {
            assert_int_equal(json_object_set_new(owner, rows[i].name,
                                                 json_loads(rows[i].value, JSON_DECODE_ANY, NULL)),
                             0);
        }
        cause = root_cause(doc);
        if (cause != rows[i].cause) {
            fail_msg("row %zu: %s", i, gh_cause_label(cause));
        }
        json_decref(doc);
    }
}

/* What the file says of a log's id does not let another key answer to it. */
static void trustroot_parse_log_id_recomputed(void **state)
{
    json_t *doc = root_json();
    json_t *id = (json_t *)sjson_pointer(doc, "/tlogs/0/logId");
    struct trustroot *root = NULL;
    const struct trustroot_log *logs;
    size_t count = 0;
    char *text;

    assert_int_equal(json_object_set_new(
                         id, "keyId", json_string("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
                     0);
    text = json_dumps(doc, 0);
    assert_true(trustroot_parse(bytes_of(text), &root, NULL));
    logs = trustroot_tlogs(root, &count);
    assert_memory_equal(logs[0].id, key_fingerprint(logs[0].key)->value, 32);
    trustroot_free(root);
    free(text);
    json_decref(doc);
}

/* An authority whose chain does not hold vouches for nobody; the others stay. */
static void trustroot_parse_broken_chain_left_out(void **state)
{
    json_t *doc = root_json();
    json_t *certs =
        (json_t *)sjson_pointer(doc, "/certificateAuthorities/0/certChain/certificates");
    json_t *other =
        (json_t *)sjson_pointer(doc, "/timestampAuthorities/0/certChain/certificates/1");
    struct trustroot *root = NULL;
    size_t count = 9;
    char *text;

    assert_int_equal(json_array_set(certs, 1, other), 0);
    text = json_dumps(doc, 0);
    assert_true(trustroot_parse(bytes_of(text), &root, NULL));
    (void)trustroot_authorities(root, &count);
    assert_int_equal(count, 0);
    assert_int_equal(trustroot_tsa(root)->count, 1);
    trustroot_free(root);
    free(text);
    json_decref(doc);
}

static void trustroot_parse_counts_limited(void **state)
{
    json_t *doc = root_json();
    json_t *logs = json_object_get(doc, "ctlogs");

    while (json_array_size(logs) < TRUSTROOT_MAX_ITEMS) {
        assert_int_equal(json_array_append(logs, json_array_get(logs, 0)), 0);
    }
    assert_int_equal(root_cause(doc), GH_CAUSE_NONE);
    assert_int_equal(json_array_append(logs, json_array_get(logs, 0)), 0);
    assert_int_equal(root_cause(doc), GH_COUNT_LIMIT_EXCEEDED);
    json_decref(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trustroot_parse_good_contents_given),
        cmocka_unit_test(trustroot_log_covers_both_ends),
        cmocka_unit_test(trustroot_parse_broken_member_refused),
        cmocka_unit_test(trustroot_parse_log_id_recomputed),
        cmocka_unit_test(trustroot_parse_broken_chain_left_out),
        cmocka_unit_test(trustroot_parse_counts_limited),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
