/*
 * Patterns over identities, claims and values. A pattern always matches the whole text.
 *
 * Exact:  byte equality.
 * Glob:   `*` any run without '/', `**` any run; everything else stands for itself.
 * Regex:  PCRE2, anchored at both ends (ANCHORED, ENDANCHORED, DOLLAR_ENDONLY, UTF), match limit
 *         100,000; a pattern that runs into the limit fails, it never matches.
 *
 * Threads: a compiled pattern is immutable and may be matched from any thread.
 */
#ifndef CRYPTO_PATTERN_H
#define CRYPTO_PATTERN_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;

#define PATTERN_MAX_BYTES 512
#define PATTERN_MAX_SUBJECT_BYTES 4096

enum pattern_kind { PATTERN_EXACT, PATTERN_GLOB, PATTERN_REGEX };

struct pattern;

/*
 * Compile. Gives: *out: new, caller frees with pattern_free(). Fails: POLICY_DENIED with the place
 * and reason of a pattern that does not compile, SIZE_LIMIT_EXCEEDED, INTERNAL_ERROR.
 */
GH_CHECKED bool pattern_new(enum pattern_kind kind, struct bytes text, struct pattern **out,
                            struct gh_error *err);
void pattern_free(struct pattern *pattern);
GH_DEFINE_FREEP(pattern, struct pattern)

/* Whether SUBJECT matches as a whole. Subjects over the limit, with NUL, or that exhaust the match
 * limit do not match. */
bool pattern_match(const struct pattern *pattern, struct bytes subject);
enum pattern_kind pattern_kind(const struct pattern *pattern);
/* The text it was compiled from; borrowed. */
struct bytes pattern_text(const struct pattern *pattern);

#endif
