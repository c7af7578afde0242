#include <string.h>

#include "metrics/error.h"
#include "metrics/text.h"
#include "policy/config.h"
#include "policy/exception_edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char fuzz_config[] =
    "upstreams: {ghcr.io: {url: https://ghcr.io}}\n"
    "signers: {a: {keys: [{file: a.pub}]}}\n"
    "policies: [{name: p, images: [\"ghcr.io/**\"], require: [{signature: a}]}]\n"
    "exceptions: x.yaml\nexceptions_approvers: [s]\n";
static const char fuzz_key[] = "-----BEGIN PUBLIC KEY-----\n"
                               "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
                               "-----END PUBLIC KEY-----\n";

static bool fuzz_read(void *context, const char *path, size_t limit, struct bytes_buf *out,
                      unsigned *mode, struct gh_error *err)
{
    const struct bytes *input = context;
    struct bytes file = strcmp(path, "/f/x.yaml") == 0  ? *input
                        : strcmp(path, "/f/a.pub") == 0 ? bytes_of(fuzz_key)
                                                        : bytes_of(fuzz_config);

    *mode = 0600;
    if (file.len > limit) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "%s is too large", path);
    }
    return bytes_dup(file, out, err);
}

static void fuzz_edit(struct bytes input)
{
    static const char *items[] = {"ghcr.io/a/b"};
    struct exception_draft draft = {.id = "E2",
                                    .images = {items, 1},
                                    .owner = "j",
                                    .approved_by = "s",
                                    .justification = "x",
                                    .created = "2026-11-01",
                                    .expires = "2026-12-01"};
    struct text out;
    struct gh_error err = {0};

    text_init(&out, 1u << 20);
    (void)!exception_edit_add(input, &draft, &out, &err);
    text_clear(&out);
    gh_error_clear(&err);
    (void)!exception_edit_renew(input, "E1", "2026-11-02", "s", "2026-12-20", &out, &err);
    text_clear(&out);
    gh_error_clear(&err);
    (void)!exception_edit_expire(input, "E1", "2026-11-22", &out, &err);
    text_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = bytes_make(data, size);
    struct config_loader loader = {.context = &input, .read = fuzz_read};
    struct config_problems problems;
    struct config *config = NULL;
    struct gh_error err = {0};

    if (config_load(&loader, "/f/g.yaml", 1795219200, &config, &problems, &err)) {
        config_unref(config);
    }
    config_problems_done(&problems);
    fuzz_edit(input);
    return 0;
}
