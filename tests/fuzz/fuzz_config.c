#include "metrics/error.h"
#include "policy/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool fuzz_read(void *context, const char *path, size_t limit, struct bytes_buf *out,
                      unsigned *mode, struct gh_error *err)
{
    const struct bytes *input = context;

    *mode = 0600;
    if (input->len > limit) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "%s is too large", path);
    }
    return bytes_dup(*input, out, err); /* every file it names is itself */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = bytes_make(data, size);
    struct config_loader loader = {.context = &input, .read = fuzz_read};
    struct config_problems problems;
    struct config *config = NULL;
    struct gh_error err = {0};

    if (config_load(&loader, "/fuzz/input.yaml", 1795219200, &config, &problems, &err)) {
        config_unref(config);
    }
    config_problems_done(&problems);
    return 0;
}
