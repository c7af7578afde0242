/*
 * Tenants: the list in the main file, and what a tenant's file may not say.
 */
#include <string.h>
#include <strings.h>

#include "policy/arena.h"
#include "policy/compile.h"

#define TENANT_MAIN_NAME "default"
#define TENANT_MAX_HOST 253

static bool tenant_is_host(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && len <= TENANT_MAX_HOST && text[0] != '.' && text[0] != '-' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == len;
}

/* The first component of a repository's name: what the distribution grammar allows there. */
static bool tenant_is_prefix(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len &&
           strchr("_-", text[0]) == NULL && strchr("_-", text[len - 1]) == NULL;
}

static bool tenant_has_host(const struct config_raw_tenant *tenant, const char *host, size_t before)
{
    for (size_t i = 0; i < GH_MIN(tenant->hosts.count, before); i++) {
        if (strcasecmp(tenant->hosts.items[i], host) == 0) {
            return true;
        }
    }
    return false;
}

static void tenant_check_hosts(struct compile *compile, size_t index)
{
    const struct config_raw_tenant *tenants = compile->raw.tenants.items;
    const struct config_raw_tenant *raw = &tenants[index];

    for (size_t i = 0; i < raw->hosts.count; i++) {
        const char *host = raw->hosts.items[i];
        const struct yaml_node *node = compile_item(&raw->at, "hosts", i);

        if (!tenant_is_host(host)) {
            config_error(&compile->reader, node,
                         "hosts: found \"%.100s\", expected a host name without a port", host);
        }
        for (size_t t = 0; t <= index; t++) {
            if (tenant_has_host(&tenants[t], host, t == index ? i : SIZE_MAX)) {
                config_error(&compile->reader, node, "hosts: %.100s already leads to tenant \"%s\"",
                             host, tenants[t].tenant_name);
            }
        }
    }
}

static void tenant_check_prefix(struct compile *compile, size_t index)
{
    const struct config_raw_tenant *tenants = compile->raw.tenants.items;
    const struct config_raw_tenant *raw = &tenants[index];
    const struct yaml_node *node = compile_node(&raw->at, "prefix");

    if (raw->prefix == NULL) {
        return;
    }
    if (!tenant_is_prefix(raw->prefix)) {
        config_error(&compile->reader, node,
                     "prefix: found \"%.100s\", expected lower-case letters, digits, - and _; no "
                     "dot, which would read as a registry's name",
                     raw->prefix);
    }
    for (size_t i = 0; i < compile->raw.upstreams.count; i++) {
        if (strcmp(compile->raw.upstreams.items[i].at.name, raw->prefix) == 0) {
            config_error(&compile->reader, node,
                         "prefix: \"%s\" is the name of an upstream, which it would hide",
                         raw->prefix);
        }
    }
    for (size_t t = 0; t < index; t++) {
        if (tenants[t].prefix != NULL && strcmp(tenants[t].prefix, raw->prefix) == 0) {
            config_error(&compile->reader, node, "prefix: \"%s\" already leads to tenant \"%s\"",
                         raw->prefix, tenants[t].tenant_name);
        }
    }
}

static void tenant_check_name(struct compile *compile, size_t index)
{
    const struct config_raw_tenant *tenants = compile->raw.tenants.items;
    const struct config_raw_tenant *raw = &tenants[index];
    const struct yaml_node *node = compile_node(&raw->at, "name");

    if (strcmp(raw->tenant_name, TENANT_MAIN_NAME) == 0) {
        config_error(&compile->reader, node,
                     "tenants: \"" TENANT_MAIN_NAME "\" is the name of the main file's tenant");
    }
    for (size_t t = 0; t < index; t++) {
        if (tenants[t].tenant_name != NULL &&
            strcmp(tenants[t].tenant_name, raw->tenant_name) == 0) {
            config_error(&compile->reader, node, "tenants: two of them are called \"%s\"",
                         raw->tenant_name);
        }
    }
}

bool compile_tenants(struct compile *compile)
{
    const struct config_raw_tenants *raw = &compile->raw.tenants;
    struct config_tenant *tenants;
    bool is_whole = true;

    if (raw->count > CONFIG_MAX_TENANTS) {
        config_error(&compile->reader, compile_node(&compile->raw.at, "tenants"),
                     "tenants: found %zu, expected at most %d", raw->count, CONFIG_MAX_TENANTS);
        return false;
    }
    for (size_t i = 0; i < raw->count; i++) {
        is_whole = is_whole && raw->items[i].tenant_name != NULL && raw->items[i].config != NULL;
    }
    if (!is_whole) {
        return true; /* what is missing was recorded; the main file is still looked through */
    }
    tenants = compile_alloc(compile, raw->count + 1, sizeof(*tenants));
    if (tenants == NULL) {
        return false;
    }
    tenants[0] = compile->config->tenants[0];
    tenants[0].quota = compile->raw.quota;
    for (size_t i = 0; i < raw->count; i++) {
        tenant_check_name(compile, i);
        tenant_check_hosts(compile, i);
        tenant_check_prefix(compile, i);
        tenants[i + 1].name = raw->items[i].tenant_name;
        tenants[i + 1].file = raw->items[i].config;
        tenants[i + 1].hosts = raw->items[i].hosts;
        tenants[i + 1].prefix = raw->items[i].prefix;
        tenants[i + 1].quota = raw->items[i].quota;
    }
    compile->config->tenants = tenants;
    compile->config->tenant_count = raw->count + 1;
    compile->tenant = &tenants[0];
    return true;
}

void compile_tenant_keys(struct compile *compile)
{
    const struct config_object *object = &config_object_file;

    for (const struct yaml_node *item = compile->raw.at.node->child; item != NULL;
         item = item->next) {
        for (size_t i = 0; i < object->field_count; i++) {
            if ((object->fields[i].flags & CONFIG_PROCESS) != 0 &&
                strcmp(object->fields[i].name, item->key) == 0) {
                config_error_at_key(&compile->reader, item,
                                    "%s: concerns the whole process; expected it in %s, not in "
                                    "the file of tenant \"%s\"",
                                    item->key, compile->config->file, compile->tenant->name);
            }
        }
    }
}

const struct config_tenant *config_tenant_find(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->tenant_count; i++) {
        if (strcmp(config->tenants[i].name, name) == 0) {
            return &config->tenants[i];
        }
    }
    return NULL;
}
