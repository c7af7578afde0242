#include "crypto/pattern.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "metrics/error.h"

#define PATTERN_MATCH_LIMIT 100000
#define PATTERN_DEPTH_LIMIT 10000
#define PATTERN_HEAP_LIMIT_KIB 4096

struct pattern {
    enum pattern_kind kind;
    struct bytes_buf text;
    pcre2_code *code;             /* regular expressions only */
    pcre2_match_context *context; /* its limits; only read by matches */
};

void pattern_free(struct pattern *pattern)
{
    if (pattern == NULL) {
        return;
    }
    pcre2_match_context_free(pattern->context);
    pcre2_code_free(pattern->code);
    bytes_buf_done(&pattern->text);
    free(pattern);
}

static bool pattern_compile(struct pattern *pattern, struct gh_error *err)
{
    /* \C would split characters and is never useful here. */
    uint32_t options = PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY | PCRE2_UTF |
                       PCRE2_NEVER_BACKSLASH_C;
    int code = 0;
    PCRE2_SIZE offset = 0;
    PCRE2_UCHAR message[120] = "";

    pattern->code =
        pcre2_compile(pattern->text.data, pattern->text.len, options, &code, &offset, NULL);
    if (pattern->code == NULL) {
        (void)pcre2_get_error_message(code, message, sizeof(message));
        return gh_fail(err, GH_POLICY_DENIED, "the regular expression fails at character %zu: %s",
                       offset + 1, (const char *)message);
    }
    pattern->context = pcre2_match_context_create(NULL);
    if (pattern->context == NULL ||
        pcre2_set_match_limit(pattern->context, PATTERN_MATCH_LIMIT) != 0 ||
        pcre2_set_depth_limit(pattern->context, PATTERN_DEPTH_LIMIT) != 0 ||
        pcre2_set_heap_limit(pattern->context, PATTERN_HEAP_LIMIT_KIB) != 0) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a regular expression");
    }
    return true;
}

bool pattern_new(enum pattern_kind kind, struct bytes text, struct pattern **out,
                 struct gh_error *err)
{
    GH_OWN(pattern_freep) struct pattern *pattern = NULL;

    if (text.len > PATTERN_MAX_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "a pattern of %zu bytes, at most %d are read",
                       text.len, PATTERN_MAX_BYTES);
    }
    if (bytes_contains_nul(text) || !bytes_is_utf8(text)) {
        return gh_fail(err, GH_POLICY_DENIED, "the pattern is not UTF-8 text");
    }
    pattern = calloc(1, sizeof(*pattern));
    if (pattern == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a pattern");
    }
    pattern->kind = kind;
    GH_TRY(bytes_dup(text, &pattern->text, err));
    if (kind == PATTERN_REGEX) {
        GH_TRY(pattern_compile(pattern, err));
    }
    *out = GH_TAKE(pattern);
    return true;
}

/* Where to go back to when the text after a wildcard does not fit: the wildcard swallows one byte
 * more. Going back to the last wildcard of each kind is enough, because an earlier start of a
 * wildcard can reach everything that a later start can; so there is no exponential case. */
struct pattern_retry {
    bool is_set;
    size_t pattern_at; /* behind the wildcard */
    size_t text_at;    /* where it has swallowed up to */
};

static bool pattern_back_up(struct bytes text, struct pattern_retry *star,
                            struct pattern_retry *both, size_t *p, size_t *t)
{
    if (star->is_set && star->text_at < text.len && text.data[star->text_at] != '/') {
        *p = star->pattern_at;
        *t = ++star->text_at;
        return true;
    }
    star->is_set = false;
    if (both->is_set && both->text_at < text.len) {
        *p = both->pattern_at;
        *t = ++both->text_at;
        return true;
    }
    return false;
}

static bool pattern_match_glob(struct bytes glob, struct bytes text)
{
    struct pattern_retry star = {0}; /* the last `*` since the last `**` */
    struct pattern_retry both = {0}; /* the last `**` */
    size_t p = 0;
    size_t t = 0;

    for (;;) {
        if (p < glob.len && glob.data[p] == '*') {
            size_t run = p;

            while (run < glob.len && glob.data[run] == '*') {
                run++;
            }
            if (run - p >= 2) {
                both = (struct pattern_retry){true, run, t};
                star.is_set = false;
            } else {
                star = (struct pattern_retry){true, run, t};
            }
            p = run;
            continue;
        }
        if (p == glob.len && t == text.len) {
            return true;
        }
        if (p < glob.len && t < text.len && glob.data[p] == text.data[t]) {
            p++;
            t++;
            continue;
        }
        if (!pattern_back_up(text, &star, &both, &p, &t)) {
            return false;
        }
    }
}

static bool pattern_match_regex(const struct pattern *pattern, struct bytes subject)
{
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    int count;
    bool is_whole;

    if (match == NULL) {
        return false;
    }
    count = pcre2_match(pattern->code, subject.len > 0 ? subject.data : (PCRE2_SPTR) "",
                        subject.len, 0, 0, match, pattern->context);
    is_whole = count >= 0 && pcre2_get_ovector_pointer(match)[1] == subject.len;
    pcre2_match_data_free(match);
    return is_whole;
}

bool pattern_match(const struct pattern *pattern, struct bytes subject)
{
    if (subject.len > PATTERN_MAX_SUBJECT_BYTES || bytes_contains_nul(subject)) {
        return false;
    }
    switch (pattern->kind) {
    case PATTERN_EXACT:
        return bytes_equal(bytes_view(&pattern->text), subject);
    case PATTERN_GLOB:
        return pattern_match_glob(bytes_view(&pattern->text), subject);
    case PATTERN_REGEX:
        return pattern_match_regex(pattern, subject);
    }
    return false;
}

enum pattern_kind pattern_kind(const struct pattern *pattern)
{
    return pattern->kind;
}

struct bytes pattern_text(const struct pattern *pattern)
{
    return bytes_view(&pattern->text);
}
