#include "proxy/probe_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/scratch.h"

#define HEAD                                                                                       \
    "log.test\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\xe2\x80\x94 log.test "          \
    "AAAAAAAA\n"
#define HEAD_JSON                                                                                  \
    "\"log.test\\n7\\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\\n\\n\xe2\x80\x94 log.test "    \
    "AAAAAAAA\\n\""

static void memory_set(struct probe_memory *memory)
{
    *memory = (struct probe_memory){.kind = PROBE_KIND_REKOR2, .seen_unix_s = 1795219200};
    assert_true(bytes_dup(BYTES_LITERAL(HEAD), &memory->head, NULL));
}

static void probe_memory_store_is_loaded_again(void **state)
{
    struct probe_memory memory, other;
    struct scratch scratch;
    const char *storage = scratch.path;

    assert_true(scratch_make(&scratch));
    assert_true(probe_memory_load(storage, "default\nroot\nhttps://log.test", &other, NULL));
    assert_int_equal(other.kind, PROBE_KIND_UNKNOWN);
    assert_int_equal(other.head.len, 0);
    memory_set(&memory);
    assert_true(probe_memory_store(storage, "default\nroot\nhttps://log.test", &memory, NULL));
    (void)gh_fail(&memory.alarm, GH_LOG_FORKED, "a \"fork\"");
    memory.alarm_unix_s = 1795219300;
    assert_true(bytes_dup(BYTES_LITERAL("x\ny"), &memory.broken, NULL));
    assert_true(probe_memory_store(storage, "default\nroot\nhttps://log.test", &memory, NULL));
    assert_true(probe_memory_load(storage, "default\nroot\nhttps://log.test", &other, NULL));
    assert_int_equal(other.kind, PROBE_KIND_REKOR2);
    assert_int_equal(other.seen_unix_s, 1795219200);
    assert_true(bytes_equal(bytes_view(&other.head), BYTES_LITERAL(HEAD)));
    assert_int_equal(other.alarm.cause, GH_LOG_FORKED);
    assert_string_equal(other.alarm.text, "a \"fork\"");
    assert_int_equal(other.alarm_unix_s, 1795219300);
    assert_true(bytes_equal(bytes_view(&other.broken), BYTES_LITERAL("x\ny")));
    probe_memory_done(&other);
    /* Another tenant, root or address is another log. */
    assert_true(probe_memory_load(storage, "other\nroot\nhttps://log.test", &other, NULL));
    assert_int_equal(other.head.len, 0);
    probe_memory_done(&memory);
    scratch_remove(&scratch);
}

static void probe_memory_store_without_folder_fails(void **state)
{
    struct probe_memory memory;
    struct gh_error error = {0};

    memory_set(&memory);
    assert_false(probe_memory_store("/nonexistent/folder", "k", &memory, &error));
    assert_int_equal(error.cause, GH_INTERNAL_ERROR);
    probe_memory_done(&memory);
}

static void probe_memory_parse_broken_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "{}",
        "{\"version\":2,\"kind\":\"tiled\",\"seen\":1,\"head\":" HEAD_JSON "}",
        "{\"version\":1,\"kind\":\"other\",\"seen\":1,\"head\":" HEAD_JSON "}",
        "{\"version\":1,\"seen\":1,\"head\":" HEAD_JSON "}",
        "{\"version\":1,\"kind\":\"tiled\",\"head\":" HEAD_JSON "}",
        "{\"version\":1,\"kind\":\"tiled\",\"seen\":1}",
        "{\"version\":1,\"kind\":\"tiled\",\"seen\":1,\"head\":\"\"}",
        "{\"version\":1,\"kind\":\"tiled\",\"seen\":1,\"head\":\"log.test\\n7\\n\"}",
        "{\"version\":1,\"kind\":\"tiled\",\"seen\":1,\"head\":" HEAD_JSON ",\"alarm\":1}",
        "{\"version\":1,\"kind\":\"tiled\",\"seen\":1,\"head\":" HEAD_JSON ",\"alarm\":{}}",
        "{\"version\":1,\"kind\":\"tiled\",\"seen\":1,\"head\":" HEAD_JSON
        ",\"alarm\":{\"cause\":\"\",\"message\":\"\",\"since\":1,\"note\":\"\"}}",
        "{\"version\":1,\"kind\":\"tiled\",\"seen\":1,\"head\":" HEAD_JSON
        ",\"alarm\":{\"cause\":\"no such\",\"message\":\"\",\"since\":1,\"note\":\"\"}}",
        "{\"version\":1,\"kind\":\"tiled\",\"seen\":1,\"head\":" HEAD_JSON
        ",\"alarm\":{\"cause\":\"log_forked\",\"message\":\"\",\"note\":\"\"}}",
        "{\"version\":1,\"kind\":\"tiled\",\"seen\":1,\"head\":" HEAD_JSON "",
    };
    struct probe_memory memory;

    assert_true(probe_memory_parse(
        BYTES_LITERAL("{\"version\":1,\"kind\":\"tiled\",\"seen\":1,\"head\":" HEAD_JSON "}"),
        &memory, NULL));
    assert_string_equal(probe_kind_label(memory.kind), "tiled");
    probe_memory_done(&memory);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct gh_error error = {0};

        assert_false(probe_memory_parse(bytes_of(rows[i]), &memory, &error));
        assert_int_equal(error.cause, GH_VERDICT_STALE);
        assert_int_equal(memory.head.len, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probe_memory_store_is_loaded_again),
        cmocka_unit_test(probe_memory_store_without_folder_fails),
        cmocka_unit_test(probe_memory_parse_broken_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
