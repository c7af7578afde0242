#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/error.h"
#include "policy/arena.h"
#include "policy/yaml.h"

static bool read_text(struct arena *arena, const char *text, const struct yaml_node **root,
                      uint32_t *line, struct gh_error *err)
{
    uint32_t column;

    return yaml_read(bytes_of(text), arena, root, line, &column, err);
}

static void yaml_plain_scalars_are_those_of_version_1_2(void **state)
{
    static const struct {
        const char *text;
        enum yaml_type type;
    } rows[] = {{"off", YAML_TEXT},       {"no", YAML_TEXT},    {"yes", YAML_TEXT},
                {"on", YAML_TEXT},        {"true", YAML_BOOL},  {"False", YAML_BOOL},
                {"null", YAML_NULL},      {"~", YAML_NULL},     {"12", YAML_INT},
                {"-3", YAML_INT},         {"0x1F", YAML_INT},   {"0o17", YAML_INT},
                {"1.5", YAML_FLOAT},      {"1e3", YAML_FLOAT},  {".5", YAML_FLOAT},
                {".inf", YAML_FLOAT},     {"1_000", YAML_TEXT}, {"12:30:45", YAML_TEXT},
                {"1.2.3", YAML_TEXT},     {"'12'", YAML_TEXT},  {"\"true\"", YAML_TEXT},
                {"2026-12-31", YAML_TEXT}};

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct arena *arena = arena_new(1u << 20);
        const struct yaml_node *root = NULL;
        struct gh_error err = {0};
        uint32_t line;

        assert_true(read_text(arena, rows[i].text, &root, &line, &err));
        if (root->type != rows[i].type) {
            fail_msg("%s", rows[i].text);
        }
        arena_free(arena);
    }
}

static void yaml_fault_is_refused_with_its_cause(void **state)
{
    static const struct {
        const char *text;
        enum gh_cause cause;
        uint32_t line;
    } rows[] = {{"a: 1\na: 2\n", GH_DUPLICATE_JSON_KEY, 2},
                {"a: 1\nb: {c: 1, c: 2}\n", GH_DUPLICATE_JSON_KEY, 2},
                {"{\"a\": 1, \"a\": 2}", GH_DUPLICATE_JSON_KEY, 1},
                {"a: &x {b: 1}\nc: {<<: *x}\n", GH_MALFORMED_JSON, 2},
                {"a: *x\n", GH_MALFORMED_JSON, 1},
                {"a: &x [*x]\n", GH_MALFORMED_JSON, 1},
                {"? [a]\n: b\n", GH_MALFORMED_JSON, 1},
                {"a: !!python/object x\n", GH_MALFORMED_JSON, 1},
                {"a: !!int 5\n", GH_MALFORMED_JSON, 1},
                {"a: 1\n---\nb: 2\n", GH_MALFORMED_JSON, 2},
                {"a: [\n", GH_MALFORMED_JSON, 2},
                {"a: \"\\0\"\n", GH_MALFORMED_JSON, 1},
                {"\ta: 1\n", GH_MALFORMED_JSON, 1}};

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct arena *arena = arena_new(1u << 20);
        const struct yaml_node *root = NULL;
        struct gh_error err = {0};
        uint32_t line = 0;

        if (read_text(arena, rows[i].text, &root, &line, &err) || err.cause != rows[i].cause ||
            line != rows[i].line) {
            fail_msg("row %zu: %s, line %u: %s", i, gh_cause_label(err.cause), line, err.text);
        }
        arena_free(arena);
    }
}

static void yaml_depth_stops_at_the_limit(void **state)
{
    char text[2 * YAML_MAX_DEPTH + 8];
    struct arena *arena = arena_new(1u << 20);
    const struct yaml_node *root = NULL;
    struct gh_error err = {0};
    uint32_t line;

    (void)state;
    memset(text, '[', YAML_MAX_DEPTH);
    memset(text + YAML_MAX_DEPTH, ']', YAML_MAX_DEPTH);
    text[2 * YAML_MAX_DEPTH] = '\0';
    assert_true(read_text(arena, text, &root, &line, &err));
    memset(text, '[', YAML_MAX_DEPTH + 1);
    memset(text + YAML_MAX_DEPTH + 1, ']', YAML_MAX_DEPTH + 1);
    text[2 * YAML_MAX_DEPTH + 2] = '\0';
    assert_false(read_text(arena, text, &root, &line, &err));
    assert_int_equal(err.cause, GH_COUNT_LIMIT_EXCEEDED);
    arena_free(arena);
}

/* Nine lists of nine aliases each would be 9^9 values; and a chain of aliases nests without end. */
static void yaml_alias_bomb_refused(void **state)
{
    char text[4096] = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
    char chain[8192] = "b0: &b0 [x]\n";
    struct arena *arena = arena_new(256u << 20);
    const struct yaml_node *root = NULL;
    struct gh_error err = {0};
    uint32_t line;

    (void)state;
    for (int i = 1; i < 9; i++) {
        char row[256];

        (void)snprintf(row, sizeof(row),
                       "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i,
                       i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
        (void)strncat(text, row, sizeof(text) - strlen(text) - 1);
    }
    assert_false(read_text(arena, text, &root, &line, &err));
    assert_int_equal(err.cause, GH_COUNT_LIMIT_EXCEEDED);
    for (int i = 1; i < 100; i++) {
        char row[64];

        (void)snprintf(row, sizeof(row), "b%d: &b%d [*b%d]\n", i, i, i - 1);
        (void)strncat(chain, row, sizeof(chain) - strlen(chain) - 1);
    }
    gh_error_clear(&err);
    assert_false(read_text(arena, chain, &root, &line, &err));
    assert_int_equal(err.cause, GH_COUNT_LIMIT_EXCEEDED);
    arena_free(arena);
}

static void yaml_marks_name_keys_and_values(void **state)
{
    struct arena *arena = arena_new(1u << 20);
    const struct yaml_node *root = NULL;
    const struct yaml_node *node;
    struct gh_error err = {0};
    uint32_t line;

    (void)state;
    assert_true(read_text(arena, "a:\n  bc: [1,\n    {d: x}]\n", &root, &line, &err));
    node = yaml_get(yaml_get(root, "a"), "bc");
    assert_int_equal(node->key_line, 2);
    assert_int_equal(node->key_column, 3);
    assert_int_equal(node->column, 7);
    assert_true(node->is_flow);
    node = yaml_get(yaml_at(node, 1), "d");
    assert_int_equal(node->line, 3);
    assert_int_equal(node->column, 9);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_plain_scalars_are_those_of_version_1_2),
        cmocka_unit_test(yaml_fault_is_refused_with_its_cause),
        cmocka_unit_test(yaml_depth_stops_at_the_limit),
        cmocka_unit_test(yaml_alias_bomb_refused),
        cmocka_unit_test(yaml_marks_name_keys_and_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
