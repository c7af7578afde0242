#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "policy/arena.h"
#include "policy/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input is a pattern and a name, on two lines: the index and the pattern must agree. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = bytes_make(data, size);
    struct bytes line = rest;
    struct arena *arena = arena_new(1u << 20);
    struct image_pattern pattern;
    struct image_ref ref;
    struct gh_error err = {0};
    uint32_t ids[4];

    if (!bytes_split(&rest, '\n', &line)) {
        rest = (struct bytes){0};
    }
    if (arena != NULL && image_pattern_parse(line, arena, &pattern, &err)) {
        struct image_index *index = image_index_new(arena);
        struct gh_error ignored = {0};

        if (image_ref_parse(rest, "docker.io", &ref, &ignored) && index != NULL &&
            image_index_add(index, &pattern, 7, &ignored)) {
            bool by_index = image_index_match(index, ref.name, &ref.digest, ids, 4) > 0;

            if (by_index != image_pattern_match(&pattern, ref.name, &ref.digest)) {
                abort();
            }
        }
    }
    arena_free(arena);
    return 0;
}
