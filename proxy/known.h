/*
 * What the gateway knows of a repository: which digest a tag was last seen at, which manifests the
 * upstream served from it, and which manifests lead to which content. Keys carry tenant, upstream
 * and repository, so that nothing learned in one place opens another.
 *
 * Threads: any; writes are queued and seen at once
 */
#ifndef PROXY_KNOWN_H
#define PROXY_KNOWN_H

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "gatehouse.h"

struct content;
struct evidence_record;
struct evidence_set;
struct gateway;
struct target;

struct known_tag {
    struct digest digest;
    int64_t confirmed_unix_s;
};

/* ACCEPT is "" unless the answer depends on what the client accepts. */
bool known_tag_get(struct gateway *gateway, const struct target *target, const char *tag,
                   const char *accept, struct known_tag *out);
void known_tag_put(struct gateway *gateway, const struct target *target, const char *tag,
                   const char *accept, const struct known_tag *known);
void known_tag_forget(struct gateway *gateway, const struct target *target, const char *tag,
                      const char *accept);

/* Whether the upstream served this manifest from this repository. */
bool known_manifest(struct gateway *gateway, const struct target *target,
                    const struct digest *digest);
void known_manifest_put(struct gateway *gateway, const struct target *target,
                        const struct digest *digest, int64_t now_unix_s);

struct edge_list; /* cache/edges.h */

/* Record what an allowed manifest, or readable evidence, leads to. Cheap when it is known. */
void known_edges_put(struct gateway *gateway, const struct target *target,
                     const struct content *parent, bool is_evidence, int64_t now_unix_s);
/* Whether DIGEST was served as readable evidence in this repository before. */
bool known_is_evidence(struct gateway *gateway, const struct target *target,
                       const struct digest *digest, int64_t now_unix_s);
/* The manifests that lead to DIGEST in this repository, itself left out. *out: edge_list_done(). */
bool known_parents(struct gateway *gateway, const struct target *target,
                   const struct digest *digest, int64_t now_unix_s, struct edge_list *out);

/* Evidence manifests and blobs, by digest. *out: new, bytes_buf_done(). */
bool known_blob_get(struct gateway *gateway, const struct digest *digest, struct bytes_buf *out);
void known_blob_put(struct gateway *gateway, const struct digest *digest, const char *media_type,
                    struct bytes content);

/* The evidence a search found for a subject, when it was complete. */
void known_evidence_put(struct gateway *gateway, const struct target *target,
                        const struct digest *subject, const struct evidence_set *set,
                        int64_t now_unix_s);
bool known_evidence_has(struct gateway *gateway, const struct target *target,
                        const struct digest *subject);
/* The same with its blobs; NULL where anything of it is gone. *made_unix_s: when it was found. */
struct evidence_record *known_evidence_get(struct gateway *gateway, const struct target *target,
                                           const struct digest *subject, int64_t *made_unix_s);

#endif
