/*
 * The requirement that the base of an image verifies itself. Which image is the base is read from
 * the manifest's annotations, or from the materials of a provenance statement that the same signer
 * signed; without that information it is not met.
 *
 * Threads: any; no shared state
 */
#ifndef POLICY_REQUIRE_BASE_H
#define POLICY_REQUIRE_BASE_H

#include "gatehouse.h"
#include "policy/require.h"

#define REQUIRE_BASE_MAX_IMAGES 16
#define REQUIRE_BASE_ANNOTATION_DIGEST "org.opencontainers.image.base.digest"
#define REQUIRE_BASE_ANNOTATION_NAME "org.opencontainers.image.base.name"

/*
 * Gives: true: *verdict is filled; false: *other is filled and must be decided first
 */
bool require_base_verify(const struct require_input *input, struct verdict *verdict,
                         struct require_other *other);

#endif
