/* WWW-Authenticate, token answers, realms and redirect targets: all of them the registry's words.
 */
#include <stdlib.h>
#include <string.h>

#include "proxy/upstream.h"
#include "proxy/upstream_auth.h"
#include "proxy/upstream_redirect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_challenges(struct bytes in)
{
    static struct upstream_auth_challenge out[UPSTREAM_AUTH_MAX_CHALLENGES];
    const struct upstream_auth_challenge *chosen;
    struct gh_error err = {0};
    size_t count = 0;
    char *url = NULL;

    if (!upstream_auth_parse(in, out, &count, &err)) {
        return;
    }
    chosen = upstream_auth_choose(out, count);
    if (chosen != NULL && upstream_auth_token_url(chosen, "repository:a/b:pull", &url, &err)) {
        free(url);
    }
}

static void fuzz_urls(const char *text)
{
    static const char *const hosts[] = {"auth.example"};
    struct upstream_config config = {
        .name = "r", .url = "https://registry.example", .auth_hosts = hosts, .auth_host_count = 1};
    struct upstream_origin origin;
    struct gh_error err = {0};
    char *url = NULL;

    if (upstream_redirect_resolve("https://registry.example/v2/", text, &url, &err)) {
        /* What is followed from https stays https, whatever the text looked like. */
        if (strncmp(url, "https://", 8) != 0 || !upstream_redirect_origin(url, &origin, &err) ||
            !origin.is_https) {
            abort();
        }
        free(url);
    }
    gh_error_clear(&err);
    if (upstream_redirect_check_realm(&config, text, &err) &&
        (!upstream_redirect_origin(text, &origin, &err) ||
         (strcmp(origin.host, "registry.example") != 0 &&
          strcmp(origin.host, "auth.example") != 0))) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_make(data, size);
    struct gh_error err = {0};
    char *text = NULL;
    int64_t life_s = 0;

    fuzz_challenges(in);
    if (upstream_auth_read_token(in, &text, &life_s, &err)) {
        if (strpbrk(text, "\r\n ") != NULL || life_s < 1) {
            abort();
        }
        upstream_auth_wipe(text);
    }
    if (bytes_to_cstr(in, &text, NULL)) {
        fuzz_urls(text);
        free(text);
    }
    return 0;
}
