#include "crypto/rekor_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "crypto/trustroot.h"
#include "tests/support/log_case.h"

#define HEAD "\"rekor.test - 12\\n1\\nAAAA\\n\\n\""
#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static enum gh_cause log_cause(const char *json, struct rekor_log *out)
{
    struct gh_error error = {0};

    bool ok = rekor_log_parse(bytes_of(json), out, &error);

    assert_int_equal(ok, error.cause == GH_CAUSE_NONE);
    return error.cause;
}

static void rekor_log_parse_trees_in_order(void **state)
{
    struct rekor_log log;

    assert_int_equal(log_cause("{\"treeID\":\"12\",\"signedTreeHead\":" HEAD
                               ",\"treeSize\":1,\"rootHash\":\"x\",\"inactiveShards\":[{\"treeID\":"
                               "\"7\",\"signedTreeHead\":\"old\"}]}",
                               &log),
                     GH_CAUSE_NONE);
    assert_int_equal(log.count, 2);
    assert_string_equal(log.trees[0].id, "12");
    assert_true(bytes_starts_with(bytes_view(&log.trees[0].head), BYTES_LITERAL("rekor.test")));
    assert_string_equal(log.trees[1].id, "7");
    assert_true(bytes_equal_cstr(bytes_view(&log.trees[1].head), "old"));
    rekor_log_done(&log);
    assert_int_equal(
        log_cause("{\"treeID\":\"1\",\"signedTreeHead\":\"\",\"inactiveShards\":null}", &log),
        GH_CAUSE_NONE);
    assert_int_equal(log.count, 1);
    rekor_log_done(&log);
}

static void rekor_log_parse_broken_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "[]",
        "{}",
        "{\"treeID\":\"1\"}",
        "{\"signedTreeHead\":" HEAD "}",
        "{\"treeID\":1,\"signedTreeHead\":" HEAD "}",
        "{\"treeID\":\"\",\"signedTreeHead\":" HEAD "}",
        "{\"treeID\":\"1&x=2\",\"signedTreeHead\":" HEAD "}",
        "{\"treeID\":\"-1\",\"signedTreeHead\":" HEAD "}",
        "{\"treeID\":\"12345678901234567890123456789012\",\"signedTreeHead\":" HEAD "}",
        "{\"treeID\":\"1\",\"treeID\":\"2\",\"signedTreeHead\":" HEAD "}",
        "{\"treeID\":\"1\",\"signedTreeHead\":" HEAD ",\"inactiveShards\":{}}",
        "{\"treeID\":\"1\",\"signedTreeHead\":" HEAD ",\"inactiveShards\":[1]}",
        "{\"treeID\":\"1\",\"signedTreeHead\":" HEAD ",\"inactiveShards\":[{\"treeID\":\"2\"}]}",
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct rekor_log log;

        assert_int_equal(log_cause(rows[i], &log), GH_LOG_ANSWER_MALFORMED);
        assert_int_equal(log.count, 0);
    }
}

static void rekor_log_parse_limits_hold(void **state)
{
    struct rekor_log log;
    static char text[REKOR_LOG_MAX_BYTES + 2];
    size_t used;

    for (size_t shards = REKOR_LOG_MAX_TREES - 1; shards <= REKOR_LOG_MAX_TREES; shards++) {
        used =
            (size_t)sprintf(text, "{\"treeID\":\"1\",\"signedTreeHead\":\"\",\"inactiveShards\":[");
        for (size_t i = 0; i < shards; i++) {
            used += (size_t)sprintf(text + used, "%s{\"treeID\":\"2\",\"signedTreeHead\":\"\"}",
                                    i > 0 ? "," : "");
        }
        (void)sprintf(text + used, "]}");
        assert_int_equal(log_cause(text, &log),
                         shards < REKOR_LOG_MAX_TREES ? GH_CAUSE_NONE : GH_COUNT_LIMIT_EXCEEDED);
        rekor_log_done(&log);
    }
    memset(text, ' ', REKOR_LOG_MAX_BYTES + 1);
    text[REKOR_LOG_MAX_BYTES + 1] = '\0';
    assert_int_equal(log_cause(text, &log), GH_SIZE_LIMIT_EXCEEDED);
}

static enum gh_cause proof_cause(const char *json, uint8_t hashes[MERKLE_MAX_HASHES][32],
                                 size_t *count)
{
    struct gh_error error = {0};

    bool ok = rekor_log_parse_proof(bytes_of(json), hashes, count, &error);

    assert_int_equal(ok, error.cause == GH_CAUSE_NONE);
    return error.cause;
}

static void rekor_log_parse_proof_forms(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "{\"hashes\":null}",
        "{\"hashes\":\"\"}",
        "{\"hashes\":[1]}",
        "{\"hashes\":[\"\"]}",
        "{\"hashes\":[\"0" HEX64 "\"]}",
        "{\"hashes\":[\"g0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"]}",
    };
    uint8_t hashes[MERKLE_MAX_HASHES][32];
    size_t count = 99;
    static char text[70 * 70];
    size_t used;

    for (size_t i = 0; i < GH_COUNT(bad); i++) {
        assert_int_equal(proof_cause(bad[i], hashes, &count), GH_LOG_ANSWER_MALFORMED);
    }
    assert_int_equal(proof_cause("{\"rootHash\":\"x\",\"hashes\":[]}", hashes, &count),
                     GH_CAUSE_NONE);
    assert_int_equal(count, 0);
    for (size_t n = MERKLE_MAX_HASHES; n <= MERKLE_MAX_HASHES + 1; n++) {
        used = (size_t)sprintf(text, "{\"hashes\":[");
        for (size_t i = 0; i < n; i++) {
            used += (size_t)sprintf(text + used, "%s\"" HEX64 "\"", i > 0 ? "," : "");
        }
        (void)sprintf(text + used, "]}");
        assert_int_equal(proof_cause(text, hashes, &count),
                         n <= MERKLE_MAX_HASHES ? GH_CAUSE_NONE : GH_COUNT_LIMIT_EXCEEDED);
    }
    assert_int_equal(count, MERKLE_MAX_HASHES);
    assert_int_equal(hashes[63][1], 0x11);
}

/* The checkpoints in real bundles, of both kinds of log, under every log of the root. */
static void rekor_log_check_only_its_own_log(void **state)
{
    static const struct {
        const char *name;
        bool is_tiled;
    } rows[] = {{"github-bundle.json", false}, {"rekor2-bundle.json", true}};

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct log_case c;
        struct checkpoint checkpoint;
        const struct trustroot_log *logs;
        size_t count = 0;
        size_t good = 0;

        log_case_open(&c, rows[i].name, "trusted_root.json");
        logs = trustroot_tlogs(c.root, &count);
        assert_true(count >= 2);
        assert_true(checkpoint_parse(bytes_view(&c.entries[0].checkpoint), &checkpoint, NULL));
        for (size_t k = 0; k < count; k++) {
            struct gh_error error = {0};

            if (rekor_log_check(&logs[k], &checkpoint, rows[i].is_tiled, &error)) {
                good++;
            } else {
                assert_int_equal(error.cause, rows[i].is_tiled ? GH_CHECKPOINT_ORIGIN_MISMATCH
                                                               : GH_CHECKPOINT_SIGNATURE_INVALID);
            }
        }
        assert_int_equal(good, 1);
        checkpoint_done(&checkpoint);
        log_case_done(&c);
    }
}

/* Origins are the scheme-less address, its host with the port, or the host alone. */
static void rekor_log_is_origin_table(void **state)
{
    static const struct {
        const char *origin;
        bool is_good;
    } rows[] = {
        {"log.test:8443/tiles", true},
        {"log.test:8443", true},
        {"log.test", true},
        {"log.test:", false},
        {"log.test:844", false},
        {"log.test/tiles", false},
        {"test", false},
        {"", false},
        {"log.test:8443/", false},
        {"LOG.test", false},
        {"log.test.evil", false},
    };
    static char origin[] = "log.test:8443/tiles", host[] = "log.test:8443", bare[] = "log.test",
                odd[] = ":1";
    const struct trustroot_log log = {.origin = origin, .host = host};
    const struct trustroot_log portless = {.origin = bare, .host = bare};
    const struct trustroot_log nameless = {.origin = odd, .host = odd};

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        assert_int_equal(rekor_log_is_origin(&log, bytes_of(rows[i].origin)), rows[i].is_good);
    }
    assert_true(rekor_log_is_origin(&portless, bytes_of("log.test")));
    assert_false(rekor_log_is_origin(&portless, bytes_of("log.tes")));
    assert_false(rekor_log_is_origin(&nameless, bytes_of("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rekor_log_is_origin_table),
        cmocka_unit_test(rekor_log_parse_trees_in_order),
        cmocka_unit_test(rekor_log_parse_broken_refused),
        cmocka_unit_test(rekor_log_parse_limits_hold),
        cmocka_unit_test(rekor_log_parse_proof_forms),
        cmocka_unit_test(rekor_log_check_only_its_own_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
