#include "policy/predicate_where.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/pattern.h"
#include "crypto/sjson.h"
#include "policy/predicate_decimal.h"

#define WHERE_MAX_TOKENS 64
#define WHERE_MAX_PATTERN_DEPTH 64

static const char *const where_ops[] = {
    [PREDICATE_EQUALS] = "equals", [PREDICATE_NOT_EQUALS] = "not_equals", [PREDICATE_IN] = "in",
    [PREDICATE_NOT_IN] = "not_in", [PREDICATE_MATCHES] = "matches",       [PREDICATE_MIN] = "min",
    [PREDICATE_MAX] = "max",       [PREDICATE_EXISTS] = "exists",
};

struct where_test {
    enum predicate_op op;
    json_t *operand; /* owned */
    bool has_number; /* the operand is a number, with the digits it was written in */
    struct predicate_decimal number;
    struct pattern *pattern; /* MATCHES */
};

struct where_condition {
    char *path;
    char *tokens[WHERE_MAX_TOKENS]; /* decoded; NULL stands for `*` */
    size_t token_count;
    bool is_any;
    struct where_test *tests;
    size_t test_count;
};

struct predicate_where {
    struct where_condition *conditions;
    size_t count;
};

const char *predicate_op_name(enum predicate_op op)
{
    return (size_t)op < GH_COUNT(where_ops) ? where_ops[op] : "";
}

bool predicate_op_by_name(const char *name, enum predicate_op *out)
{
    for (size_t i = 0; i < GH_COUNT(where_ops); i++) {
        if (strcmp(where_ops[i], name) == 0) {
            *out = (enum predicate_op)i;
            return true;
        }
    }
    return false;
}

/* ---- compiling ---- */

/* A reference token with ~0 and ~1 resolved. */
static bool where_decode(struct bytes text, char **out, struct gh_error *err)
{
    char *token = calloc(text.len + 1, 1);
    size_t used = 0;

    if (token == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = (char)text.data[i];

        if (c == '~') {
            i++;
            if (i == text.len || (text.data[i] != '0' && text.data[i] != '1')) {
                free(token);
                return gh_fail(err, GH_POLICY_DENIED, "in a pointer `~` is written ~0 and `/` ~1");
            }
            c = text.data[i] == '0' ? '~' : '/';
        }
        token[used++] = c;
    }
    *out = token;
    return true;
}

static bool where_read_path(const char *path, struct where_condition *out, struct gh_error *err)
{
    struct bytes rest = bytes_of(path), token;
    bool is_last = path[0] == '\0';

    if (strlen(path) > PREDICATE_MAX_PATH_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "a path has more than %d bytes",
                       PREDICATE_MAX_PATH_BYTES);
    }
    if (path[0] != '/' && path[0] != '\0') {
        return gh_fail(err, GH_POLICY_DENIED,
                       "'%.80s' is no JSON pointer: it begins with '/', as in /reviewers/*/role",
                       path);
    }
    out->path = strdup(path);
    if (out->path == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    rest = bytes_slice(rest, 1, SIZE_MAX);
    while (!is_last) {
        is_last = !bytes_split(&rest, '/', &token);
        token = is_last ? rest : token;
        if (out->token_count == WHERE_MAX_TOKENS) {
            return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "a path has more than %d parts",
                           WHERE_MAX_TOKENS);
        }
        if (!bytes_equal_cstr(token, "*")) {
            GH_TRY(where_decode(token, &out->tokens[out->token_count], err));
        }
        out->token_count++;
    }
    return true;
}

static bool where_wanted(enum predicate_op op, const char *what, struct gh_error *err)
{
    return gh_fail(err, GH_POLICY_DENIED, "'%s' takes %s", where_ops[op], what);
}

/* The operand must be of the kind that its operator takes. */
static bool where_check_operand(struct where_test *test, struct gh_error *err)
{
    switch (test->op) {
    case PREDICATE_EQUALS:
    case PREDICATE_NOT_EQUALS:
        return true;
    case PREDICATE_IN:
    case PREDICATE_NOT_IN:
        return json_array_size(test->operand) > 0 ||
               where_wanted(test->op, "a list of values", err);
    case PREDICATE_MATCHES:
        return json_is_string(test->operand)
                   ? pattern_new(PATTERN_REGEX, sjson_string(test->operand), &test->pattern, err)
                   : where_wanted(test->op, "a regular expression", err);
    case PREDICATE_MIN:
    case PREDICATE_MAX:
        return test->has_number || where_wanted(test->op, "a number", err);
    case PREDICATE_EXISTS:
        return json_is_boolean(test->operand) || where_wanted(test->op, "true or false", err);
    }
    return gh_fail(err, GH_INTERNAL_ERROR, "an operator of no known kind");
}

static bool where_read_test(const struct predicate_test *in, struct where_test *out,
                            struct gh_error *err)
{
    out->op = in->op;
    out->has_number = predicate_decimal_parse(in->operand, &out->number);
    if (!sjson_parse(in->operand, PREDICATE_MAX_LITERAL_BYTES, &out->operand, err)) {
        return gh_recast(err, GH_POLICY_DENIED);
    }
    return where_check_operand(out, err);
}

static bool where_says_absent(const struct where_test *test)
{
    return test->op == PREDICATE_EXISTS && json_is_false(test->operand);
}

static bool where_read_condition(const struct predicate_condition *in, struct where_condition *out,
                                 struct gh_error *err)
{
    out->is_any = in->is_any;
    GH_TRY(where_read_path(in->path, out, err));
    if (in->test_count == 0 || in->test_count > PREDICATE_MAX_TESTS) {
        return gh_fail(
            err, GH_POLICY_DENIED,
            "a condition needs one of equals, not_equals, in, not_in, matches, min, max, "
            "exists");
    }
    out->tests = calloc(in->test_count, sizeof(*out->tests));
    if (out->tests == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    for (size_t i = 0; i < in->test_count; i++) {
        out->test_count++;
        GH_TRY(where_read_test(&in->tests[i], &out->tests[i], err));
        if (where_says_absent(&out->tests[i]) && in->test_count > 1) {
            return gh_fail(err, GH_POLICY_DENIED, "'exists: false' stands alone in its condition");
        }
    }
    return true;
}

bool predicate_where_new(const struct predicate_condition *conditions, size_t count,
                         struct predicate_where **out, size_t *at, struct gh_error *err)
{
    GH_OWN(predicate_where_freep) struct predicate_where *where = NULL;

    *at = 0;
    if (count == 0) {
        *out = NULL;
        return true;
    }
    if (count > PREDICATE_MAX_CONDITIONS) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d conditions",
                       PREDICATE_MAX_CONDITIONS);
    }
    where = calloc(1, sizeof(*where));
    if (where == NULL || (where->conditions = calloc(count, sizeof(*where->conditions))) == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        *at = i;
        where->count++;
        GH_TRY(where_read_condition(&conditions[i], &where->conditions[i], err));
    }
    *out = GH_TAKE(where);
    return true;
}

void predicate_where_free(struct predicate_where *where)
{
    if (where == NULL) {
        return;
    }
    for (size_t i = 0; i < where->count; i++) {
        struct where_condition *condition = &where->conditions[i];

        for (size_t j = 0; j < condition->test_count; j++) {
            json_decref(condition->tests[j].operand);
            pattern_free(condition->tests[j].pattern);
        }
        for (size_t j = 0; j < condition->token_count; j++) {
            free(condition->tokens[j]);
        }
        free(condition->tests);
        free(condition->path);
    }
    free(where->conditions);
    free(where);
}

/* ---- judging ---- */

static bool where_equal(const json_t *a, const json_t *b, unsigned depth);

static bool where_equal_numbers(const json_t *a, const json_t *b)
{
    struct predicate_decimal left, right;

    return predicate_decimal_of(a, &left) && predicate_decimal_of(b, &right) &&
           predicate_decimal_compare(&left, &right) == 0;
}

static bool where_equal_objects(const json_t *a, const json_t *b, unsigned depth)
{
    const char *name;
    json_t *value;

    if (json_object_size(a) != json_object_size(b)) {
        return false;
    }
    json_object_foreach ((json_t *)a, name, value) {
        const json_t *other = json_object_get(b, name);

        if (other == NULL || !where_equal(value, other, depth + 1)) {
            return false;
        }
    }
    return true;
}

static bool where_equal_arrays(const json_t *a, const json_t *b, unsigned depth)
{
    if (json_array_size(a) != json_array_size(b)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(a); i++) {
        if (!where_equal(json_array_get(a, i), json_array_get(b, i), depth + 1)) {
            return false;
        }
    }
    return true;
}

/* As values: numbers by value, members in any order, no conversion between types. */
static bool where_equal(const json_t *a, const json_t *b, unsigned depth)
{
    if (depth > WHERE_MAX_PATTERN_DEPTH) {
        return false;
    }
    if (json_is_number(a) && json_is_number(b)) {
        return where_equal_numbers(a, b);
    }
    if (json_typeof(a) != json_typeof(b)) {
        return false;
    }
    if (json_is_object(a)) {
        return where_equal_objects(a, b, depth);
    }
    if (json_is_array(a)) {
        return where_equal_arrays(a, b, depth);
    }
    return json_equal(a, b) == 1;
}

static bool where_equals(const struct where_test *test, const json_t *value)
{
    struct predicate_decimal number;

    if (test->has_number) {
        return predicate_decimal_of(value, &number) &&
               predicate_decimal_compare(&number, &test->number) == 0;
    }
    return where_equal(test->operand, value, 0);
}

static bool where_is_in(const struct where_test *test, const json_t *value)
{
    for (size_t i = 0; i < json_array_size(test->operand); i++) {
        if (where_equal(json_array_get(test->operand, i), value, 0)) {
            return true;
        }
    }
    return false;
}

/* An element that is there. */
static bool where_holds_for(const struct where_test *test, const json_t *value)
{
    struct predicate_decimal number;

    switch (test->op) {
    case PREDICATE_EQUALS:
        return where_equals(test, value);
    case PREDICATE_NOT_EQUALS:
        return !where_equals(test, value);
    case PREDICATE_IN:
        return where_is_in(test, value);
    case PREDICATE_NOT_IN:
        return !where_is_in(test, value);
    case PREDICATE_MATCHES:
        return json_is_string(value) && pattern_match(test->pattern, sjson_string(value));
    case PREDICATE_MIN:
        return predicate_decimal_of(value, &number) &&
               predicate_decimal_compare(&number, &test->number) >= 0;
    case PREDICATE_MAX:
        return predicate_decimal_of(value, &number) &&
               predicate_decimal_compare(&number, &test->number) <= 0;
    case PREDICATE_EXISTS:
        return json_is_true(test->operand);
    }
    return false;
}

/* What a walk along one path met. */
struct where_walk {
    const struct where_condition *condition;
    size_t visited;
    size_t good;    /* elements for which every test holds */
    size_t bad;     /* elements for which one does not */
    size_t missing; /* branches that end before the path does */
};

static void where_judge_element(struct where_walk *walk, const json_t *value)
{
    for (size_t i = 0; i < walk->condition->test_count; i++) {
        if (!where_holds_for(&walk->condition->tests[i], value)) {
            walk->bad++;
            return;
        }
    }
    walk->good++;
}

static bool where_walk_from(struct where_walk *walk, const json_t *value, size_t token,
                            struct gh_error *err);

static bool where_walk_all(struct where_walk *walk, const json_t *value, size_t token,
                           struct gh_error *err)
{
    const char *name;
    json_t *member;

    if (json_array_size(value) == 0 && json_object_size(value) == 0) {
        walk->missing++;
        return true;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        GH_TRY(where_walk_from(walk, json_array_get(value, i), token + 1, err));
    }
    json_object_foreach ((json_t *)value, name, member) {
        GH_TRY(where_walk_from(walk, member, token + 1, err));
    }
    return true;
}

static const json_t *where_member(const json_t *value, const char *token)
{
    char *end = NULL;
    unsigned long index;

    if (json_is_object(value)) {
        return json_object_get(value, token);
    }
    if (!json_is_array(value) || token[0] < '0' || token[0] > '9' ||
        (token[0] == '0' && token[1] != '\0') || strlen(token) > 9) {
        return NULL;
    }
    index = strtoul(token, &end, 10);
    return *end == '\0' ? json_array_get(value, index) : NULL;
}

/* Recursion is as deep as the path has parts. */
static bool where_walk_from(struct where_walk *walk, const json_t *value, size_t token,
                            struct gh_error *err)
{
    if (++walk->visited > PREDICATE_MAX_ELEMENTS) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "path '%.80s' leads to more than %d elements",
                       walk->condition->path, PREDICATE_MAX_ELEMENTS);
    }
    if (value == NULL) {
        walk->missing++;
        return true;
    }
    if (token == walk->condition->token_count) {
        where_judge_element(walk, value);
        return true;
    }
    if (walk->condition->tokens[token] == NULL) {
        return where_walk_all(walk, value, token, err);
    }
    return where_walk_from(walk, where_member(value, walk->condition->tokens[token]), token + 1,
                           err);
}

static bool where_is_satisfied(const struct where_walk *walk)
{
    const struct where_condition *condition = walk->condition;

    if (where_says_absent(&condition->tests[0])) {
        /* elements that are there count as bad */
        return condition->is_any ? walk->missing > 0 : walk->bad == 0;
    }
    return walk->good > 0 && (condition->is_any || (walk->bad == 0 && walk->missing == 0));
}

bool predicate_where_judge(const struct predicate_where *where, const json_t *predicate,
                           struct gh_error *err)
{
    for (size_t i = 0; i < where->count; i++) {
        const struct where_condition *condition = &where->conditions[i];
        struct where_walk walk = {.condition = condition};

        GH_TRY(where_walk_from(&walk, predicate, 0, err));
        if (!where_is_satisfied(&walk)) {
            return gh_fail(err, GH_POLICY_DENIED,
                           "condition %zu on '%.80s' (%s) is not met: %zu elements meet it, %zu do "
                           "not, %zu are missing",
                           i + 1, condition->path, where_ops[condition->tests[0].op], walk.good,
                           walk.bad, walk.missing);
        }
    }
    return true;
}
