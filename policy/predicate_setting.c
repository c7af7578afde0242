#include "policy/predicate_setting.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sjson.h"
#include "policy/config_schema.h"

static bool setting_integer(const struct predicate_key *key, const char *text, int64_t *out,
                            struct gh_error *err)
{
    char *end = NULL;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || strchr("-0123456789", text[0]) == NULL ||
        value < key->min || value > key->max) {
        return gh_fail(err, GH_POLICY_DENIED,
                       "'%s' takes an integer from %lld to %lld, not '%.60s'", key->name,
                       (long long)key->min, (long long)key->max, text);
    }
    *out = value;
    return true;
}

static bool setting_choice(const struct predicate_key *key, const char *text, size_t *out,
                           struct gh_error *err)
{
    char wanted[PREDICATE_MAX_WANTED] = "";
    size_t used = 0;

    for (size_t i = 0; key->choices[i] != NULL; i++) {
        if (strcmp(key->choices[i], text) == 0) {
            *out = i;
            return true;
        }
        if (used < sizeof(wanted)) {
            used += (size_t)snprintf(wanted + used, sizeof(wanted) - used, "%s%s",
                                     i > 0 ? ", " : "", key->choices[i]);
        }
    }
    return gh_fail(err, GH_POLICY_DENIED, "'%s' takes one of %s, not '%.60s'", key->name, wanted,
                   text);
}

static bool setting_globs(const char *const *texts, size_t count, struct pattern ***out,
                          size_t *out_count, struct gh_error *err)
{
    *out = calloc(count, sizeof(struct pattern *));
    if (*out == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        GH_TRY(pattern_new(PATTERN_GLOB, bytes_of(texts[i]), &(*out)[i], err));
        ++*out_count;
    }
    return true;
}

static bool setting_patterns(const char *const *texts, size_t count, struct predicate_setting *out,
                             struct gh_error *err)
{
    return setting_globs(texts, count, &out->patterns, &out->pattern_count, err);
}

static bool setting_texts(const struct predicate_option *option, struct predicate_setting *out,
                          struct gh_error *err)
{
    out->texts = calloc(option->value_count, sizeof(char *));
    if (out->texts == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    for (size_t i = 0; i < option->value_count; i++) {
        out->texts[i] = strdup(option->values[i]);
        if (out->texts[i] == NULL) {
            return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
        }
        out->text_count++;
    }
    return true;
}

static bool setting_levels(const struct predicate_key *key, const struct predicate_option *option,
                           struct predicate_setting *out, struct gh_error *err)
{
    out->levels = calloc(option->value_count, sizeof(*out->levels));
    if (out->levels == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    for (size_t i = 0; i < option->value_count; i++) {
        GH_TRY(setting_integer(key, option->values[i], &out->levels[i], err));
    }
    return setting_patterns(option->keys, option->value_count, out, err);
}

static bool setting_counts(const struct predicate_key *key, const struct predicate_option *option,
                           struct predicate_setting *out, struct gh_error *err)
{
    if (option->keys == NULL) {
        return setting_integer(key, option->values[0], &out->total, err);
    }
    for (size_t i = 0; i < option->value_count; i++) {
        size_t choice = 0;

        GH_TRY(setting_choice(key, option->keys[i], &choice, err));
        GH_TRY(setting_integer(key, option->values[i], &out->counts[choice], err));
    }
    return true;
}

/* Whether the option has the shape (scalar, list, map) that its key takes. */
static bool setting_check_shape(const struct predicate_key *key,
                                const struct predicate_option *option, struct gh_error *err)
{
    bool is_map = option->keys != NULL;
    bool needs_map = key->value == PREDICATE_LEVELS || key->value == PREDICATE_PAIRS;
    bool takes_map = key->value == PREDICATE_COUNTS || needs_map;
    bool takes_list = key->value == PREDICATE_PATTERNS || key->value == PREDICATE_TEXTS;

    if (option->value_count > PREDICATE_MAX_VALUES) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "'%s' has more than %d values", key->name,
                       PREDICATE_MAX_VALUES);
    }
    if (option->value_count == 0) {
        return gh_fail(err, GH_POLICY_DENIED, "'%s' has no value", key->name);
    }
    if ((is_map && !takes_map) || (!is_map && needs_map)) {
        return gh_fail(err, GH_POLICY_DENIED, "'%s' takes %s", key->name,
                       is_map                           ? "a value or a list, not a map"
                       : key->value == PREDICATE_LEVELS ? "a map of builder to level"
                                                        : "a map of pointer to value");
    }
    if (!is_map && !takes_list && option->value_count > 1) {
        return gh_fail(err, GH_POLICY_DENIED, "'%s' takes one value, not a list", key->name);
    }
    return true;
}

bool predicate_setting_read(const struct predicate_key *key, const struct predicate_option *option,
                            struct predicate_setting *out, struct gh_error *err)
{
    size_t choice = 0;

    GH_TRY(setting_check_shape(key, option, err));
    out->is_set = true;
    out->total = -1;
    for (size_t i = 0; i < PREDICATE_MAX_CHOICES; i++) {
        out->counts[i] = -1;
    }
    switch (key->value) {
    case PREDICATE_PATTERNS:
        return setting_patterns(option->values, option->value_count, out, err);
    case PREDICATE_TEXTS:
        return setting_texts(option, out, err);
    case PREDICATE_CHOICE:
        GH_TRY(setting_choice(key, option->values[0], &choice, err));
        out->number = (int64_t)choice;
        return true;
    case PREDICATE_INTEGER:
        return setting_integer(key, option->values[0], &out->number, err);
    case PREDICATE_DURATION:
        return (config_parse_duration(option->values[0], &out->number) && out->number > 0) ||
               gh_fail(err, GH_POLICY_DENIED,
                       "'%s' takes a duration such as 12h or 7d, not '%.60s'", key->name,
                       option->values[0]);
    case PREDICATE_COUNTS:
        return setting_counts(key, option, out, err);
    case PREDICATE_LEVELS:
        return setting_levels(key, option, out, err);
    case PREDICATE_PAIRS:
        GH_TRY(setting_patterns(option->keys, option->value_count, out, err));
        return setting_globs(option->values, option->value_count, &out->values, &out->value_count,
                             err);
    }
    return gh_fail(err, GH_INTERNAL_ERROR, "a check's key of no known kind");
}

void predicate_setting_done(struct predicate_setting *setting)
{
    for (size_t i = 0; i < setting->pattern_count; i++) {
        pattern_free(setting->patterns[i]);
    }
    for (size_t i = 0; i < setting->value_count; i++) {
        pattern_free(setting->values[i]);
    }
    for (size_t i = 0; i < setting->text_count; i++) {
        free(setting->texts[i]);
    }
    free((void *)setting->values);
    free((void *)setting->patterns);
    free((void *)setting->texts);
    free(setting->levels);
    memset(setting, 0, sizeof(*setting));
}

bool predicate_setting_matches(const struct predicate_setting *setting, struct bytes value)
{
    for (size_t i = 0; i < setting->pattern_count; i++) {
        if (pattern_match(setting->patterns[i], value)) {
            return true;
        }
    }
    return false;
}

bool predicate_setting_lists(const struct predicate_setting *setting, struct bytes value)
{
    for (size_t i = 0; i < setting->text_count; i++) {
        if (bytes_equal_cstr(value, setting->texts[i])) {
            return true;
        }
    }
    return false;
}

void predicate_setting_wanted(const struct predicate_setting *setting,
                              char out[PREDICATE_MAX_WANTED])
{
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < setting->pattern_count && used < PREDICATE_MAX_WANTED; i++) {
        struct bytes text = pattern_text(setting->patterns[i]);

        used += (size_t)snprintf(out + used, PREDICATE_MAX_WANTED - used, "%s%.*s",
                                 i > 0 ? ", " : "", (int)text.len, (const char *)text.data);
    }
}

struct bytes predicate_text(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_string(value) ? sjson_string(value) : bytes_make(NULL, 0);
}

struct bytes predicate_text_at(const json_t *doc, const char *pointer)
{
    const json_t *value = sjson_pointer(doc, pointer);

    return json_is_string(value) ? sjson_string(value) : bytes_make(NULL, 0);
}
