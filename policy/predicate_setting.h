/*
 * The values of a typed check's keys, compiled. The tables of keys (policy/predicate.h) say what
 * each key takes; this reads the configuration's texts accordingly.
 *
 * Threads: immutable once compiled
 */
#ifndef POLICY_PREDICATE_SETTING_H
#define POLICY_PREDICATE_SETTING_H

#include "crypto/pattern.h"
#include "policy/predicate.h"

#define PREDICATE_MAX_CHOICES 8

struct predicate_setting {
    bool is_set;
    struct pattern **patterns; /* PATTERNS; the globs of LEVELS, the first ones of PAIRS */
    size_t pattern_count;
    struct pattern **values; /* PAIRS: the second ones, as many */
    size_t value_count;
    char **texts; /* TEXTS */
    size_t text_count;
    int64_t *levels;                       /* LEVELS: one per pattern */
    int64_t number;                        /* INTEGER; CHOICE: its index; DURATION: seconds */
    int64_t counts[PREDICATE_MAX_CHOICES]; /* COUNTS: by choice; -1 where none is given */
    int64_t total;                         /* COUNTS: of all together; -1 where none is given */
};

/* A check: one setting per key of its alias, in the order of the alias's table. */
struct predicate_check {
    const struct predicate_alias *alias;
    struct predicate_setting settings[PREDICATE_MAX_OPTIONS];
};

/*
 * Compile one option.
 *
 * Gives: *out: predicate_setting_done() frees, also after a failure
 * Fails: POLICY_DENIED, SIZE_LIMIT_EXCEEDED, COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool predicate_setting_read(const struct predicate_key *key,
                                       const struct predicate_option *option,
                                       struct predicate_setting *out, struct gh_error *err);
void predicate_setting_done(struct predicate_setting *setting);

/* Whether one of the patterns matches. */
bool predicate_setting_matches(const struct predicate_setting *setting, struct bytes value);
/* Whether one of the texts is VALUE. */
bool predicate_setting_lists(const struct predicate_setting *setting, struct bytes value);
/* The patterns as text for messages: "a" or "a, b, …". */
#define PREDICATE_MAX_WANTED 120
void predicate_setting_wanted(const struct predicate_setting *setting,
                              char out[PREDICATE_MAX_WANTED]);

/* A member that is a string, or no bytes. */
struct bytes predicate_text(const json_t *object, const char *key);
/* The string that a pointer leads to, or no bytes. */
struct bytes predicate_text_at(const json_t *doc, const char *pointer);

#endif
