/*
 * What concerns the process and its upstreams: listeners, files, credentials, fetching.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "policy/arena.h"
#include "policy/compile.h"

#define CONFIG_MAX_SECRET_BYTES 65536

#define COMPILE_MAX_SOCKET_PATH 107 /* sockaddr_un */

static void compile_drop(struct bytes_buf *content)
{
    if (content->data != NULL) {
        explicit_bzero(content->data, content->len); /* it may be a key */
    }
    bytes_buf_done(content);
}

static void compile_prove(struct compile *compile, const struct yaml_node *node,
                          enum config_proof proof,
                          const struct bytes contents[CONFIG_PROOF_MAX_FILES], const char *path)
{
    const struct config_loader *loader = compile->reader.loader;
    struct gh_error err = {0};

    if (proof != CONFIG_PROOF_NONE && loader->prove != NULL &&
        !loader->prove(loader->context, proof, contents, &err)) {
        config_error(&compile->reader, node, "%s: %s", path, err.text);
    }
}

/* That a file can be read, is not readable by all where it is a secret, and is what it is for. */
static void compile_file(struct compile *compile, const struct yaml_node *node, const char *path,
                         bool is_secret, enum config_proof proof)
{
    struct bytes contents[CONFIG_PROOF_MAX_FILES] = {{0}};
    struct bytes_buf content = {0};

    if (path != NULL &&
        compile_read(compile, node, path, CONFIG_MAX_MATERIAL_BYTES, is_secret, &content)) {
        contents[0] = bytes_view(&content);
        compile_prove(compile, node, proof, contents, path);
        compile_drop(&content);
    }
}

static void compile_tls(struct compile *compile, const struct config_tls *tls)
{
    static const char *const names[] = {"certificate", "key", "client_ca"};
    struct bytes_buf files[CONFIG_PROOF_MAX_FILES] = {{0}};
    struct bytes contents[CONFIG_PROOF_MAX_FILES] = {{0}};
    bool is_whole = true;

    if (tls == NULL) {
        return;
    }
    for (size_t i = 0; i < GH_COUNT(names); i++) {
        const char *path = i == 0 ? tls->certificate : i == 1 ? tls->key : tls->client_ca;

        if (path == NULL) {
            is_whole = is_whole && i == 2;
        } else if (compile_read(compile, compile_node(&tls->at, names[i]), path,
                                CONFIG_MAX_MATERIAL_BYTES, i == 1, &files[i])) {
            contents[i] = bytes_view(&files[i]);
        } else {
            is_whole = false;
        }
    }
    if (is_whole) {
        compile_prove(compile, compile_node(&tls->at, names[0]), CONFIG_PROOF_TLS, contents,
                      tls->certificate);
    }
    for (size_t i = 0; i < GH_COUNT(files); i++) {
        compile_drop(&files[i]);
    }
}

/* One line of text from a secret file. */
static const char *compile_secret(struct compile *compile, const struct yaml_node *node,
                                  const char *path)
{
    struct bytes_buf content = {0};
    const char *out = NULL;
    size_t len;

    if (!compile_read(compile, node, path, CONFIG_MAX_SECRET_BYTES, true, &content)) {
        return NULL;
    }
    len = content.len;
    while (len > 0 && (content.data[len - 1] == '\n' || content.data[len - 1] == '\r')) {
        len--;
    }
    if (len == 0 || memchr(content.data, '\n', len) != NULL ||
        memchr(content.data, '\0', len) != NULL) {
        config_error(&compile->reader, node, "%s: expected one line with the secret", path);
    } else {
        out = arena_copy(compile->reader.arena, content.data, len);
    }
    bytes_buf_done(&content);
    return out;
}

static bool compile_is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]:", 6) == 0 ||
           strncmp(address, "localhost:", 10) == 0;
}

static void compile_listeners(struct compile *compile)
{
    struct config *config = compile->config;
    struct config_admin *admin = compile->raw.admin;

    config->listen = compile->raw.listen;
    for (size_t i = 0; i < config->listen.count; i++) {
        compile_tls(compile, config->listen.items[i].tls);
        for (size_t j = 0; j < i; j++) {
            const char *left = config->listen.items[i].address;
            const char *right = config->listen.items[j].address;

            if (left != NULL && right != NULL && strcmp(left, right) == 0) {
                config_error(&compile->reader, config->listen.items[i].at.node,
                             "listen: %s is listed twice", left);
            }
        }
    }
    if (admin == NULL || admin->address == NULL) {
        return;
    }
    compile_tls(compile, admin->tls);
    if (admin->token_file != NULL) {
        admin->token =
            compile_secret(compile, compile_node(&admin->at, "token_file"), admin->token_file);
    }
    if (!compile_is_loopback(admin->address) && admin->token_file == NULL &&
        (admin->tls == NULL || admin->tls->client_ca == NULL)) {
        config_error(&compile->reader, compile_node(&admin->at, "address"),
                     "admin: %s is not on loopback; expected token_file, or tls with client_ca",
                     admin->address);
    }
    config->admin = *admin;
}

static int compile_compare_prefix(const void *a, const void *b)
{
    const struct config_pair *left = a;
    const struct config_pair *right = b;
    size_t left_len = strlen(left->name);
    size_t right_len = strlen(right->name);

    if (left_len != right_len) {
        return left_len > right_len ? -1 : 1;
    }
    return strcmp(left->name, right->name);
}

static bool compile_is_fetchable(const char *text)
{
    return strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0 ||
           strncmp(text, "file:///", 8) == 0;
}

static void compile_fetch(struct compile *compile)
{
    struct config_fetch *fetch = compile->raw.fetch;

    if (fetch == NULL) {
        return;
    }
    for (size_t i = 0; i < fetch->rewrite.count; i++) {
        const struct config_pair *pair = &fetch->rewrite.items[i];
        const struct yaml_node *node = yaml_get(yaml_get(fetch->at.node, "rewrite"), pair->name);

        if (!compile_is_fetchable(pair->name)) {
            config_error_at_key(&compile->reader, node,
                                "rewrite: found \"%.150s\", expected an http(s): or file: prefix",
                                pair->name);
        }
        if (!compile_is_fetchable(pair->value)) {
            config_error(&compile->reader, node,
                         "rewrite: found \"%.150s\", expected an http(s): or file: prefix",
                         pair->value);
        }
    }
    if (fetch->rewrite.count > 1) {
        qsort(fetch->rewrite.items, fetch->rewrite.count, sizeof(*fetch->rewrite.items),
              compile_compare_prefix);
    }
    compile->config->fetch = *fetch;
}

bool config_rewrite_matches(const char *prefix, const char *url)
{
    size_t len = strlen(prefix);

    /* "https://tuf.example/" is meant for a repository named without its last slash, too. */
    return strncmp(url, prefix, len) == 0 ||
           (len > 0 && prefix[len - 1] == '/' && strlen(url) == len - 1 &&
            strncmp(url, prefix, len - 1) == 0);
}

/* Whether fetching URL touches the network, after `rewrite`. */
static bool compile_needs_network(const struct compile *compile, const char *url)
{
    const struct config_pairs *rewrite = &compile->config->fetch.rewrite;

    for (size_t i = 0; i < rewrite->count; i++) {
        if (config_rewrite_matches(rewrite->items[i].name, url)) {
            return strncmp(rewrite->items[i].value, "file:", 5) != 0;
        }
    }
    return strncmp(url, "file:", 5) != 0;
}

static bool compile_rewrites_to_file(const struct compile *compile)
{
    const struct config_pairs *rewrite = &compile->config->fetch.rewrite;

    for (size_t i = 0; i < rewrite->count; i++) {
        if (strncmp(rewrite->items[i].value, "file:", 5) == 0) {
            return true;
        }
    }
    return false;
}

static void compile_offline(struct compile *compile)
{
    for (size_t i = 0; i < compile->raw.roots.count; i++) {
        const struct config_raw_root *root = &compile->raw.roots.items[i];

        if (root->probe_s > 0) {
            config_error_at_key(&compile->reader, compile_node(&root->at, "probe"),
                                "offline: the logs of root \"%s\" cannot be watched",
                                root->at.name);
        }
        if (root->tuf != NULL && compile_needs_network(compile, root->tuf)) {
            config_error(&compile->reader, compile_node(&root->at, "tuf"),
                         "offline: root \"%s\" is fetched from %s; expected trusted_root, or a "
                         "rewrite to a file",
                         root->at.name, root->tuf);
        }
    }
    for (size_t i = 0; compile->signers != NULL && i < compile->raw.signers.count; i++) {
        const struct config_raw_signer *raw = &compile->raw.signers.items[i];
        const struct signer *signer = compile->signers[i].signer;

        if (signer != NULL && signer->type == SIGNER_NOTATION &&
            signer->revocation != SIGNER_SKIP && !compile_rewrites_to_file(compile)) {
            const struct compile_root *root = compile_root_find(
                compile, raw->notation->root, raw->notation->at.node, COMPILE_ROOT_X509);

            if (root != NULL && !root->has_crl) {
                config_error(&compile->reader, raw->notation->at.node,
                             "offline: revocation of \"%s\" needs the network; expected crl in "
                             "its root, a rewrite to a file, or override: {revocation: skip}",
                             raw->at.name);
            }
        }
    }
}

#define CONFIG_MIN_TOKEN_SECRET 32

/* Who gets a token, and whose credentials the token endpoint is given. */
static void compile_client_tokens(struct compile *compile, struct config_clients *clients)
{
    struct config_token *token = clients->token;

    if (token != NULL && clients->htpasswd == NULL && !clients->is_mtls) {
        config_error(&compile->reader, compile_node(&clients->at, "token"),
                     "clients: token without htpasswd or mtls, which say who gets one");
    }
    if (clients->is_passthrough && clients->htpasswd != NULL) {
        config_error(&compile->reader, compile_node(&clients->at, "passthrough"),
                     "clients: passthrough beside htpasswd; /token could not tell whose "
                     "credentials it is given");
    }
    if (token != NULL && token->key != NULL) {
        token->secret = compile_secret(compile, compile_node(&token->at, "key"), token->key);
        if (token->secret != NULL && strlen(token->secret) < CONFIG_MIN_TOKEN_SECRET) {
            config_error(&compile->reader, compile_node(&token->at, "key"),
                         "%s: expected a secret of at least %d characters", token->key,
                         CONFIG_MIN_TOKEN_SECRET);
        }
    }
}

static void compile_clients(struct compile *compile)
{
    struct config_clients *clients = compile->raw.clients;
    bool has_client_ca = false;

    if (clients == NULL) {
        return;
    }
    compile_file(compile, compile_node(&clients->at, "htpasswd"), clients->htpasswd, true,
                 CONFIG_PROOF_USERS);
    for (size_t i = 0; i < compile->config->listen.count; i++) {
        const struct config_tls *tls = compile->config->listen.items[i].tls;

        has_client_ca = has_client_ca || (tls != NULL && tls->client_ca != NULL);
    }
    if (clients->is_mtls && !has_client_ca) {
        config_error(&compile->reader, compile_node(&clients->at, "mtls"),
                     "clients: mtls without a listener that has tls with client_ca");
    }
    compile_client_tokens(compile, clients);
    compile->tenant->clients = *clients;
}

/* udp://HOST:PORT, tcp://HOST:PORT, unix:/PATH, http://… or https://… */
static bool compile_is_sink_url(const char *url)
{
    const char *port = strrchr(url, ':');

    if (strncmp(url, "udp://", 6) == 0 || strncmp(url, "tcp://", 6) == 0) {
        return port > url + 6 && port[1] != '\0' && strlen(port + 1) <= 5 &&
               strspn(port + 1, "0123456789") == strlen(port + 1) && strpbrk(url + 6, "/@") == NULL;
    }
    if (strncmp(url, "unix:/", 6) == 0) {
        return url[6] != '\0' && strlen(url) <= COMPILE_MAX_SOCKET_PATH;
    }
    return (strncmp(url, "http://", 7) == 0 && url[7] != '\0' && url[7] != '/') ||
           (strncmp(url, "https://", 8) == 0 && url[8] != '\0' && url[8] != '/');
}

static void compile_audit_sink(struct compile *compile, struct config_audit_sink *sink)
{
    bool is_http;

    if (sink == NULL || sink->url == NULL) {
        return;
    }
    if (!compile_is_sink_url(sink->url)) {
        config_error(
            &compile->reader, compile_node(&sink->at, "url"),
            "audit: sink: found %s, expected udp://HOST:PORT, tcp://HOST:PORT, unix:/PATH, "
            "http://… or https://…",
            sink->url);
    }
    is_http = strncmp(sink->url, "http", 4) == 0;
    if (!is_http && (sink->token_file != NULL || sink->ca != NULL)) {
        config_error(&compile->reader, sink->at.node,
                     "audit: sink: token_file and ca are for http and https alone");
    }
    compile_file(compile, compile_node(&sink->at, "ca"), sink->ca, false, CONFIG_PROOF_AUTHORITIES);
    if (sink->token_file != NULL) {
        sink->token =
            compile_secret(compile, compile_node(&sink->at, "token_file"), sink->token_file);
    }
}

void compile_process(struct compile *compile)
{
    struct config *config = compile->config;

    if (compile->raw.storage == NULL || compile->raw.limits == NULL || compile->raw.cache == NULL ||
        compile->raw.audit == NULL || compile->raw.log == NULL) {
        return; /* no memory, recorded */
    }
    config->workers = compile->raw.workers;
    config->storage = *compile->raw.storage;
    config->limits = *compile->raw.limits;
    config->cache = *compile->raw.cache;
    config->audit = *compile->raw.audit;
    config->log = *compile->raw.log;
    config->is_offline = compile->raw.is_offline;
    if (config->audit.path == NULL) {
        config->audit.path = arena_printf(config->arena, "%s/audit.jsonl", config->storage.path);
    }
    compile_file(compile, compile_node(&config->audit.at, "checkpoint_key"),
                 config->audit.checkpoint_key, true, CONFIG_PROOF_CHECKPOINT_KEY);
    compile_audit_sink(compile, config->audit.sink);
    compile_listeners(compile);
    compile_fetch(compile);
}

void compile_shell(struct compile *compile)
{
    compile_clients(compile);
    if (compile->config->is_offline) {
        compile_offline(compile);
    }
}

/* ---- upstreams ---- */

static void compile_credentials(struct compile *compile, struct config_credentials *credentials)
{
    if (credentials == NULL) {
        return;
    }
    if (credentials->password_file != NULL) {
        credentials->password = compile_secret(
            compile, compile_node(&credentials->at, "password_file"), credentials->password_file);
    } else if (credentials->password_env != NULL) {
        const struct config_loader *loader = compile->reader.loader;
        size_t len = strlen(credentials->password_env);
        char name[256];
        const char *value = NULL;

        if (len - 3 < sizeof(name)) {
            memcpy(name, credentials->password_env + 2, len - 3);
            name[len - 3] = '\0';
            value = loader->env == NULL ? NULL : loader->env(loader->context, name);
        }
        if (value == NULL || value[0] == '\0') {
            config_error(&compile->reader, compile_node(&credentials->at, "password"),
                         "password: the environment variable in %s is not set",
                         credentials->password_env);
            return;
        }
        credentials->password = arena_string(compile->reader.arena, value);
    }
}

static void compile_hosts(struct compile *compile, const struct config_at *at, const char *key,
                          const struct config_strings *hosts)
{
    for (size_t i = 0; i < hosts->count; i++) {
        if (!image_is_upstream(bytes_of(hosts->items[i]))) {
            config_error(&compile->reader, compile_item(at, key, i),
                         "%s: found \"%.100s\", expected a host, with a port where it is not the "
                         "scheme's",
                         key, hosts->items[i]);
        }
    }
}

static int compile_compare_upstreams(const void *a, const void *b)
{
    const struct config_upstream *left = a;
    const struct config_upstream *right = b;

    return strcmp(left->at.name, right->at.name);
}

static void compile_upstream(struct compile *compile, struct config_upstream *upstream)
{
    const char *name = upstream->at.name;
    const struct yaml_node *node = upstream->at.node;

    if (!image_is_upstream(bytes_of(name))) {
        config_error_at_key(&compile->reader, node,
                            "upstreams: found \"%.100s\", expected a registry's name such as "
                            "ghcr.io or registry.example:5000",
                            name);
    } else if (strpbrk(name, ".:") == NULL && strcmp(name, "localhost") != 0 &&
               (compile->raw.default_upstream == NULL ||
                strcmp(compile->raw.default_upstream, name) != 0)) {
        config_error_at_key(&compile->reader, node,
                            "upstreams: \"%.100s\" has neither a dot nor a port, so that no name "
                            "leads to it; expected a registry's name, or default_upstream: %.100s",
                            name, name);
    }
    upstream->at.name = image_upstream_alias(name);
    compile_credentials(compile, upstream->credentials);
    compile_file(compile, compile_node(&upstream->at, "ca"), upstream->ca, false,
                 CONFIG_PROOF_AUTHORITIES);
    compile_hosts(compile, &upstream->at, "auth_hosts", &upstream->auth_hosts);
    compile_hosts(compile, &upstream->at, "redirect_hosts", &upstream->redirect_hosts);
}

void compile_upstreams(struct compile *compile)
{
    struct config_upstreams *upstreams = &compile->raw.upstreams;
    struct config_tenant *tenant = compile->tenant;

    for (size_t i = 0; i < upstreams->count; i++) {
        compile_upstream(compile, &upstreams->items[i]);
    }
    if (upstreams->count > 1) {
        qsort(upstreams->items, upstreams->count, sizeof(*upstreams->items),
              compile_compare_upstreams);
    }
    for (size_t i = 1; i < upstreams->count; i++) {
        if (strcmp(upstreams->items[i].at.name, upstreams->items[i - 1].at.name) == 0) {
            config_error_at_key(&compile->reader, upstreams->items[i].at.node,
                                "upstreams: two of them are %s", upstreams->items[i].at.name);
        }
    }
    tenant->upstreams = *upstreams;
    if (upstreams->count == 0 && compile->raw.tenants.count == 0) {
        bool is_named = yaml_get(compile->raw.at.node, "upstreams") != NULL;

        config_error(&compile->reader, compile_node(&compile->raw.at, "upstreams"),
                     is_named ? "upstreams: expected at least one registry"
                              : "file: \"upstreams\" is missing");
    }
    if (compile->raw.default_upstream != NULL) {
        const struct config_upstream *upstream =
            config_tenant_upstream(tenant, compile->raw.default_upstream);

        if (upstream == NULL) {
            char words[4096] = "";
            size_t used = 0;

            for (size_t i = 0; i < upstreams->count && used < sizeof(words); i++) {
                used += (size_t)snprintf(words + used, sizeof(words) - used, "%s%s",
                                         used == 0 ? "" : "|", upstreams->items[i].at.name);
            }
            config_error_found(&compile->reader, compile_node(&compile->raw.at, "default_upstream"),
                               "the name of an upstream", words, "default_upstream");
        } else {
            tenant->default_upstream = upstream->at.name;
        }
    }
}

const struct config_upstream *config_tenant_upstream(const struct config_tenant *tenant,
                                                     const char *name)
{
    size_t low = 0;
    size_t high = tenant->upstreams.count;

    name = image_upstream_alias(name);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(tenant->upstreams.items[middle].at.name, name);

        if (order == 0) {
            return &tenant->upstreams.items[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}
