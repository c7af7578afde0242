/*
 * Judging a predicate in one line of a test: the check's options as "key=value", lists with commas,
 * maps as "key:inner=value".
 */
#ifndef TESTS_SUPPORT_PREDICATE_CASE_H
#define TESTS_SUPPORT_PREDICATE_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "policy/predicate.h"

#define CASE_NOW INT64_C(1767225600) /* 2026-01-01 */
#define CASE_MAX 16

struct predicate_case {
    char text[CASE_MAX][512];
    struct predicate_option options[CASE_MAX];
    const char *keys[CASE_MAX][CASE_MAX];
    const char *values[CASE_MAX][CASE_MAX];
    size_t count;
};

/* Read "a=1;b=x,y;c:low=1,high=2". */
static inline void case_read(struct predicate_case *out, const char *options)
{
    const char *at = options;

    memset(out, 0, sizeof(*out));
    while (*at != '\0') {
        size_t len = strcspn(at, ";"), n = 0;
        char *text = out->text[out->count];
        struct predicate_option *option = &out->options[out->count];
        char *value, *map, *save = NULL;

        (void)snprintf(text, sizeof(out->text[0]), "%.*s", (int)len, at);
        map = strchr(text, '{');
        value = map != NULL ? map : strchr(text, '=');
        assert_non_null(value);
        *value++ = '\0';
        for (char *part = strtok_r(value, ",", &save); part != NULL;
             part = strtok_r(NULL, ",", &save)) {
            if (map != NULL) {
                char *inner = strrchr(part, '=');

                assert_non_null(inner);
                *inner = '\0';
                out->keys[out->count][n] = part;
                part = inner + 1;
            }
            out->values[out->count][n++] = part;
        }
        *option = (struct predicate_option){text, map != NULL ? out->keys[out->count] : NULL,
                                            out->values[out->count], n};
        out->count++;
        at += len + (at[len] == ';' ? 1 : 0);
    }
}

static inline enum gh_cause case_compile(const char *name, const char *options,
                                         struct predicate_check **out)
{
    struct predicate_case *parsed = malloc(sizeof(*parsed));
    struct gh_error err = {0};
    size_t at = 0;
    bool is_good;

    case_read(parsed, options);
    is_good = predicate_check_new(name, parsed->options, parsed->count, out, &at, &err);
    assert_int_equal(is_good, err.cause == GH_CAUSE_NONE);
    free(parsed);
    return err.cause;
}

/* Judge TEXT (JSON, with ' for ") as TYPE by the options. */
static inline enum gh_cause case_judge(const char *name, const char *options, const char *text,
                                       struct predicate_input input, int64_t *until)
{
    struct predicate_check *check = NULL;
    struct gh_error err = {0};
    char *json = strdup(text);
    json_t *predicate;
    int64_t end = 0;
    bool is_good;

    for (char *c = json; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    predicate = json_loads(json, JSON_DECODE_ANY, NULL);
    if (predicate == NULL) {
        print_error("not JSON: %s\n", json);
        fail();
    }
    assert_int_equal(case_compile(name, options, &check), GH_CAUSE_NONE);
    input.predicate = predicate;
    if (input.now_unix_s == 0) {
        input.now_unix_s = CASE_NOW;
    }
    is_good = predicate_evaluate(check, NULL, &input, &end, &err);
    assert_int_equal(is_good, err.cause == GH_CAUSE_NONE);
    if (until != NULL) {
        *until = end;
    }
    predicate_check_free(check);
    json_decref(predicate);
    free(json);
    return err.cause;
}

struct case_row {
    const char *options;
    const char *predicate;
    enum gh_cause cause;
};

static inline void assert_case_table(const char *name, const char *type,
                                     const struct case_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct predicate_input input = {.type = bytes_of(type)};
        enum gh_cause cause = case_judge(name, rows[i].options, rows[i].predicate, input, NULL);

        if (cause != rows[i].cause) {
            print_error("row %zu: %s, wanted %s: [%s] %s\n", i, gh_cause_label(cause),
                        gh_cause_label(rows[i].cause), rows[i].options, rows[i].predicate);
        }
        assert_int_equal(cause, rows[i].cause);
    }
}

#endif
