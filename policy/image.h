/*
 * Image names: references as people write them, the pattern language of `images` and `except`, and
 * an index that finds the patterns matching a name without looking at each.
 *
 * A name is UPSTREAM/REPOSITORY. In a pattern `*` stands for any run inside one component, a
 * component `**` for one component or more. `NAME@sha256:…` names one manifest. Tags are not
 * patterns: they move.
 *
 * Spec:    OCI distribution-spec, "Pulling manifests" (name and reference grammar)
 * Threads: an index is immutable once built.
 */
#ifndef POLICY_IMAGE_H
#define POLICY_IMAGE_H

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "gatehouse.h"

struct arena;
struct gh_error;
struct text;

#define IMAGE_MAX_UPSTREAM_BYTES 128
#define IMAGE_MAX_REPOSITORY_BYTES 255
#define IMAGE_MAX_NAME_BYTES (IMAGE_MAX_UPSTREAM_BYTES + 1 + IMAGE_MAX_REPOSITORY_BYTES)
#define IMAGE_MAX_TAG_BYTES 128
#define IMAGE_MAX_GLOBSTARS 2 /* `**` in one pattern: bounds the search */
#define IMAGE_MAX_COMPONENTS 130

struct image_ref {
    char name[IMAGE_MAX_NAME_BYTES + 1]; /* "upstream/repository", as policies name it */
    char upstream[IMAGE_MAX_UPSTREAM_BYTES + 1];
    char repository[IMAGE_MAX_REPOSITORY_BYTES + 1];
    char tag[IMAGE_MAX_TAG_BYTES + 1]; /* "" where none was given */
    struct digest digest;              /* DIGEST_NONE where none was given */
};

/*
 * Read "[upstream/]repository[:tag][@digest]". A first component with a dot or a colon, and
 * `localhost`, is an upstream; other names go to DEFAULT_UPSTREAM (may be NULL: then they are
 * refused). Docker Hub's aliases and `library/` are understood. No tag is made up.
 *
 * Fails: NAME_UNKNOWN, DIGEST_ALG_UNSUPPORTED
 */
GH_CHECKED bool image_ref_parse(struct bytes text, const char *default_upstream,
                                struct image_ref *out, struct gh_error *err);

/* Whether it is a repository name of the distribution specification, a tag, an upstream's name. */
bool image_is_repository(struct bytes text);
bool image_is_tag(struct bytes text);
bool image_is_upstream(struct bytes text);
/* The name policies use for an upstream: Docker Hub's aliases become "docker.io". Borrowed. */
const char *image_upstream_alias(const char *upstream);

struct image_pattern {
    const char *text;     /* as normalised, without the digest */
    struct digest digest; /* DIGEST_NONE: any */
    bool is_literal;      /* no wildcard in it */
};

/*
 * Check and normalise a pattern. Text lives in the arena.
 *
 * Fails: NAME_UNKNOWN with the rule, DIGEST_ALG_UNSUPPORTED, INTERNAL_ERROR
 */
GH_CHECKED bool image_pattern_parse(struct bytes text, struct arena *arena,
                                    struct image_pattern *out, struct gh_error *err);
/* DIGEST may be NULL: then a pattern with a digest does not match. */
bool image_pattern_match(const struct image_pattern *pattern, const char *name,
                         const struct digest *digest);

/* One component of a name against one of a pattern: `*` is any run. */
bool image_component_match(struct bytes pattern, struct bytes text);

struct image_index;
struct image_index *image_index_new(struct arena *arena);
/* Several patterns may carry one id. Fails: INTERNAL_ERROR. */
GH_CHECKED bool image_index_add(struct image_index *index, const struct image_pattern *pattern,
                                uint32_t id, struct gh_error *err);
/* Whether a pattern has a digest by that algorithm. */
bool image_index_pins(const struct image_index *index, enum digest_alg alg);
/*
 * Ids of all patterns that match, into OUT (at most ROOM); an id may come more than once.
 * Gives the number found, which may exceed ROOM: then call again with more.
 */
size_t image_index_match(const struct image_index *index, const char *name,
                         const struct digest *digest, uint32_t *out, size_t room);

/* A pattern as a JSON string, with its digest where it has one. */
void image_pattern_put_json(struct text *out, const struct image_pattern *pattern);

#endif
