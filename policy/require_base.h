/*
 * The requirement that the base of an image verifies itself. Which image is the base is read from
 * the manifest's annotations, or from the materials of verified provenance, where every image
 * counts; without that information it is not met.
 *
 * Threads: any; no shared state
 */
#ifndef POLICY_REQUIRE_BASE_H
#define POLICY_REQUIRE_BASE_H

#include "gatehouse.h"
#include "policy/require.h"

struct statement; /* crypto/statement.h */

#define REQUIRE_BASE_MAX_IMAGES 8
#define REQUIRE_BASE_ANNOTATION_DIGEST "org.opencontainers.image.base.digest"
#define REQUIRE_BASE_ANNOTATION_NAME "org.opencontainers.image.base.name"

/* Base images as the evidence names them, each once. */
struct require_base_list;

/* NULL when memory is out. */
struct require_base_list *require_base_list_new(void);
void require_base_list_free(struct require_base_list *list);

/* Fails: BASE_IMAGE_UNVERIFIED where they are missing, as manifest_parse() and digest_parse() */
GH_CHECKED bool require_base_from_annotations(const struct require_input *input,
                                              struct require_base_list *list, struct gh_error *err);
/*
 * Add what a verified provenance statement (0.2 or 1) names.
 *
 * Gives: *is_silent: there is no image among its materials
 * Fails: BASE_IMAGE_UNVERIFIED (an image without digest, a name that cannot be used),
 *        COUNT_LIMIT_EXCEEDED, PREDICATE_MALFORMED, DIGEST_ALG_UNSUPPORTED, INTERNAL_ERROR
 */
GH_CHECKED bool require_base_read(const struct statement *statement, struct require_base_list *list,
                                  bool *is_silent, struct gh_error *err);

/*
 * Take over the verdicts about the bases into a verdict that is satisfied so far.
 *
 * Gives: true: *verdict is final; false: *other is filled and must be decided first
 */
bool require_base_verify(const struct require_input *input, const struct require_base_list *list,
                         struct verdict *verdict, struct require_other *other);

#endif
