#include "proxy/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/bytes.h"
#include "metrics/error.h"
#include "policy/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static char folder[64];

static void put(const char *name, const void *data, size_t size)
{
    char path[256];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0) {
        abort();
    }
}

static void leave(void)
{
    static const char *const names[] = {"index.json",   "oci-layout", ("blobs/sha256/" HEX),
                                        "blobs/sha256", "blobs",      ""};
    char path[256];

    for (size_t i = 0; i < GH_COUNT(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)remove(path);
    }
}

static void enter(void)
{
    static const char marker[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    char path[256];

    (void)snprintf(folder, sizeof(folder), "%s/fuzz-layout-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(folder) == NULL) {
        abort();
    }
    (void)snprintf(path, sizeof(path), "%s/blobs", folder);
    (void)mkdir(path, 0700);
    (void)snprintf(path, sizeof(path), "%s/blobs/sha256", folder);
    (void)mkdir(path, 0700);
    put("oci-layout", marker, sizeof(marker) - 1);
    (void)atexit(leave);
}

/* The first byte says how much of the input is index.json, in 256ths; the rest is a manifest. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[] = {
        "/v2/a/manifests/v1",
        "/v2/a/manifests/sha256:" HEX,
        "/v2/a/manifests/sha256-" HEX ".sig",
        "/v2/a/referrers/sha256:" HEX,
        "/v2/a/blobs/sha256:" HEX,
    };
    GH_OWN(layout_freep) struct layout *layout = NULL;
    struct image_ref as;
    struct gh_error err = {0};
    size_t split;

    if (folder[0] == '\0') {
        enter();
    }
    if (size == 0 || !image_ref_parse(bytes_of("a.test/a:v1"), NULL, &as, NULL)) {
        return 0;
    }
    split = 1 + (size - 1) * data[0] / 255;
    put("index.json", data + 1, split - 1);
    put("blobs/sha256/" HEX, data + split, size - split);
    if (!layout_open(folder, &as, &layout, &err)) {
        return 0;
    }
    for (size_t i = 0; i < GH_COUNT(paths); i++) {
        struct upstream_result result;

        layout_answer(layout, paths[i], 4096, &result);
        if ((result.outcome == UPSTREAM_OK) != (result.error.cause == GH_CAUSE_NONE)) {
            abort();
        }
        upstream_result_done(&result);
    }
    return 0;
}
