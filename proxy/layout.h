/*
 * An OCI image layout in a registry's place: a folder with an image and its evidence, as `oras`,
 * `cosign save`, `skopeo` or `regctl` write it, answers what would be asked of the registry. Every
 * byte in it is as hostile as a registry's: digests are checked by whoever asked.
 *
 * Evidence is found as registries have it: manifests that name the image as their `subject`, listed
 * in index.json or not, an index under the fallback tag `sha256-<hex>`, entries under
 * `sha256-<hex>.sig` and `.att`, and what `cosign save` marks as signatures and attestations of the
 * image.
 *
 * Spec:    OCI image-spec, image-layout.md
 * Threads: immutable once opened; answers read files, so not on a worker that serves clients
 */
#ifndef PROXY_LAYOUT_H
#define PROXY_LAYOUT_H

#include "gatehouse.h"
#include "proxy/upstream.h"

struct image_ref;
struct layout;

#define LAYOUT_MAX_INDEX_BYTES (4u * 1024 * 1024)
#define LAYOUT_MAX_ENTRIES 1000 /* of index.json; each is read when the layout is opened */
#define LAYOUT_MAX_BLOBS 20000  /* of either algorithm; the small ones are looked at */

/*
 * Open the layout in FOLDER for the image that is to be judged as AS: of its digest; else the one
 * named by its tag or whole name; else the only image there is. None of them: the image is absent.
 *
 * Takes:   folder, as: borrowed for the call
 * Gives:   *out: new, layout_free()
 * Fails:   NAME_UNKNOWN (no layout there; several images, and none has the name),
 *          MALFORMED_MANIFEST, COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool layout_open(const char *folder, const struct image_ref *as, struct layout **out,
                            struct gh_error *err);
void layout_free(struct layout *layout);
GH_DEFINE_FREEP(layout, struct layout)

/* An upstream_answer_fn; LAYOUT is the context. The repository in PATH does not matter. */
void layout_answer(void *layout, const char *path, size_t limit, struct upstream_result *result);

#endif
