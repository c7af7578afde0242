#include "policy/predicate_parameters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sjson.h"

struct parameters_walk {
    const struct predicate_setting *expected;
    const struct predicate_setting *ignored;
    const struct predicate_parameter *known;
    size_t known_count;
    bool is_met[PREDICATE_MAX_VALUES]; /* of each expectation */
    size_t visited;
    char path[PREDICATE_MAX_PATH_BYTES];
};

static bool parameters_unexpected(struct parameters_walk *walk, size_t len, struct gh_error *err)
{
    return gh_fail(err, GH_PARAMETERS_UNEXPECTED,
                   "the build had the parameter %.*s; expected none that 'parameters' and "
                   "'ignore_parameters' do not name",
                   (int)GH_MIN(len, (size_t)120), walk->path);
}

/* Whether the pointer or one that leads to it is ignored. */
static bool parameters_is_ignored(const struct parameters_walk *walk, size_t len)
{
    for (size_t end = 1; end <= len; end++) {
        if ((end == len || walk->path[end] == '/') &&
            predicate_setting_matches(walk->ignored, bytes_make(walk->path, end))) {
            return true;
        }
    }
    return false;
}

static bool parameters_is_known(const struct parameters_walk *walk, size_t len, struct bytes value)
{
    for (size_t i = 0; i < walk->known_count; i++) {
        if (bytes_equal_cstr(bytes_make(walk->path, len), walk->known[i].pointer) &&
            value.len > 0 && bytes_equal(value, walk->known[i].value)) {
            return true;
        }
    }
    return false;
}

/* A parameter under an expectation must have the value that it gives, whatever else names it. */
static bool parameters_judge_text(struct parameters_walk *walk, size_t len, struct bytes value,
                                  struct gh_error *err)
{
    bool is_expected = false;

    for (size_t i = 0; i < walk->expected->pattern_count; i++) {
        if (!pattern_match(walk->expected->patterns[i], bytes_make(walk->path, len))) {
            continue;
        }
        if (!pattern_match(walk->expected->values[i], value)) {
            struct bytes wanted = pattern_text(walk->expected->values[i]);

            return gh_fail(err, GH_PARAMETERS_UNEXPECTED,
                           "the build's parameter %.*s is '%.*s', wanted '%.*s'",
                           (int)GH_MIN(len, (size_t)70), walk->path,
                           (int)GH_MIN(value.len, (size_t)60), (const char *)value.data,
                           (int)GH_MIN(wanted.len, (size_t)60), (const char *)wanted.data);
        }
        walk->is_met[i] = true;
        is_expected = true;
    }
    return is_expected || parameters_is_known(walk, len, value) ||
           parameters_is_ignored(walk, len) || parameters_unexpected(walk, len, err);
}

static bool parameters_judge_scalar(struct parameters_walk *walk, size_t len, const json_t *value,
                                    struct gh_error *err)
{
    char *text = NULL;
    bool ok;

    if (json_is_string(value)) {
        return parameters_judge_text(walk, len, sjson_string(value), err);
    }
    text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (text == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    ok = parameters_judge_text(walk, len, bytes_of(text), err);
    free(text);
    return ok;
}

/* Append a token to the pointer (RFC 6901); false where it has become too long. */
static bool parameters_push(struct parameters_walk *walk, size_t *len, struct bytes token)
{
    size_t at = *len;

    if (at + 1 >= sizeof(walk->path)) {
        return false;
    }
    walk->path[at++] = '/';
    for (size_t i = 0; i < token.len; i++) {
        bool is_escaped = token.data[i] == '~' || token.data[i] == '/';

        if (at + 2 >= sizeof(walk->path)) {
            return false;
        }
        if (is_escaped) {
            walk->path[at++] = '~';
        }
        walk->path[at++] = (char)(is_escaped ? (token.data[i] == '~' ? '0' : '1') : token.data[i]);
    }
    *len = at;
    return true;
}

static bool parameters_visit(struct parameters_walk *walk, size_t len, const json_t *value,
                             unsigned depth, struct gh_error *err);

static bool parameters_enter(struct parameters_walk *walk, size_t len, struct bytes token,
                             const json_t *value, unsigned depth, struct gh_error *err)
{
    size_t longer = len;

    if (!parameters_push(walk, &longer, token)) {
        /* No pattern can name it; something above it may be ignored. */
        return parameters_is_ignored(walk, len) || parameters_unexpected(walk, len, err);
    }
    return parameters_visit(walk, longer, value, depth + 1, err);
}

static bool parameters_visit(struct parameters_walk *walk, size_t len, const json_t *value,
                             unsigned depth, struct gh_error *err)
{
    const char *key;
    json_t *member;
    size_t index;

    if (++walk->visited > PREDICATE_MAX_ELEMENTS || depth > SJSON_MAX_DEPTH) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "the build had more than %d parameters",
                       PREDICATE_MAX_ELEMENTS);
    }
    if (json_is_object(value)) {
        json_object_foreach ((json_t *)value, key, member) {
            GH_TRY(parameters_enter(walk, len, bytes_of(key), member, depth, err));
        }
        return true;
    }
    if (json_is_array(value)) {
        json_array_foreach (value, index, member) {
            char token[24];

            (void)snprintf(token, sizeof(token), "%zu", index);
            GH_TRY(parameters_enter(walk, len, bytes_of(token), member, depth, err));
        }
        return true;
    }
    return value == NULL || json_is_null(value) || parameters_judge_scalar(walk, len, value, err);
}

bool predicate_parameters_judge(const json_t *parameters, const struct predicate_setting *expected,
                                const struct predicate_setting *ignored,
                                const struct predicate_parameter *known, size_t known_count,
                                struct gh_error *err)
{
    struct parameters_walk *walk = calloc(1, sizeof(*walk));
    bool ok;

    if (walk == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    walk->expected = expected;
    walk->ignored = ignored;
    walk->known = known;
    walk->known_count = known_count;
    ok = parameters_visit(walk, 0, parameters, 0, err);
    for (size_t i = 0; ok && i < expected->pattern_count; i++) {
        struct bytes pointer = pattern_text(expected->patterns[i]);

        if (!walk->is_met[i]) {
            ok = gh_fail(err, GH_PARAMETERS_UNEXPECTED,
                         "the build had no parameter %.*s, which policy expects",
                         (int)GH_MIN(pointer.len, (size_t)120), (const char *)pointer.data);
        }
    }
    free(walk);
    return ok;
}
