#include "policy/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "policy/arena.h"
#include "policy/compile.h"

#define CONFIG_MAX_MEMORY (512u * 1024 * 1024)

/* The configuration with what must be freed beside the arena. */
struct config_holder {
    struct config config; /* first: the two are one to their users */
    struct compile_owned *owned;
};

void *compile_alloc(struct compile *compile, size_t count, size_t size)
{
    void *memory = arena_alloc(compile->reader.arena, count, size);

    if (memory == NULL && !compile->reader.is_out_of_memory) {
        compile->reader.is_out_of_memory = true;
        config_error(&compile->reader, NULL, "no memory for the configuration");
    }
    return memory;
}

bool compile_keep(struct compile *compile, void *object, void (*release)(void *object))
{
    struct compile_owned *owned = compile_alloc(compile, 1, sizeof(*owned));

    if (owned == NULL) {
        release(object);
        return false;
    }
    owned->object = object;
    owned->free = release;
    owned->next = *compile->owned;
    *compile->owned = owned;
    return true;
}

const struct yaml_node *compile_node(const struct config_at *at, const char *key)
{
    const struct yaml_node *node = yaml_get(at->node, key);

    return node == NULL ? at->node : node;
}

const struct yaml_node *compile_item(const struct config_at *at, const char *key, size_t index)
{
    const struct yaml_node *node = yaml_at(yaml_get(at->node, key), index);

    return node == NULL ? compile_node(at, key) : node;
}

bool compile_read(struct compile *compile, const struct yaml_node *node, const char *path,
                  size_t limit, bool is_secret, struct bytes_buf *out)
{
    const struct config_loader *loader = compile->reader.loader;
    struct gh_error err = {0};
    unsigned mode = 0;

    if (!loader->read(loader->context, path, limit, out, &mode, &err)) {
        config_error(&compile->reader, node, "%s", err.text);
        return false;
    }
    if (is_secret && (mode & 07u) != 0) {
        config_error(&compile->reader, node,
                     "%s is a secret that everybody on the machine can read (mode %04o); expected "
                     "0600 or 0640",
                     path, mode & 07777u);
        bytes_buf_done(out);
        return false;
    }
    return true;
}

struct config *config_ref(struct config *config)
{
    (void)__atomic_add_fetch(&config->references, 1, __ATOMIC_RELAXED);
    return config;
}

void config_unref(struct config *config)
{
    struct config_holder *holder = (struct config_holder *)config;

    if (config == NULL || __atomic_sub_fetch(&config->references, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    for (struct compile_owned *owned = holder->owned; owned != NULL; owned = owned->next) {
        owned->free(owned->object);
    }
    arena_free(config->arena);
    free(holder);
}

static bool config_folder(struct compile *compile, const char *file)
{
    const char *slash = strrchr(file, '/');

    if (slash == NULL) {
        compile->reader.folder = "";
        return true;
    }
    compile->reader.folder =
        arena_copy(compile->reader.arena, file, slash == file ? 1 : (size_t)(slash - file));
    return compile->reader.folder != NULL;
}

static void config_put_expr(struct fingerprint *fingerprint, const struct policy_expr *expr)
{
    fingerprint_put_int(fingerprint, expr->kind);
    if (expr->kind == POLICY_LEAF) {
        fingerprint_put_digest(fingerprint, &expr->leaf->fingerprint);
        return;
    }
    fingerprint_put_int(fingerprint, (int64_t)expr->threshold);
    fingerprint_put_int(fingerprint, (int64_t)expr->count);
    for (size_t i = 0; i < expr->count; i++) {
        config_put_expr(fingerprint, &expr->items[i]);
    }
}

static void config_put_patterns(struct fingerprint *fingerprint,
                                const struct image_pattern *patterns, size_t count)
{
    fingerprint_put_int(fingerprint, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        fingerprint_put_text(fingerprint, patterns[i].text);
        fingerprint_put_digest(fingerprint, &patterns[i].digest);
    }
}

static void config_put_policy(struct fingerprint *fingerprint, const struct policy *policy)
{
    fingerprint_put_text(fingerprint, policy->name);
    fingerprint_put_text(fingerprint, policy->owner);
    fingerprint_put_int(fingerprint, policy->is_baseline);
    fingerprint_put_int(fingerprint, policy->is_each);
    fingerprint_put_int(fingerprint, policy->is_digest_required);
    config_put_patterns(fingerprint, policy->images, policy->image_count);
    config_put_patterns(fingerprint, policy->excepts, policy->except_count);
    fingerprint_put_int(fingerprint, (int64_t)policy->deny_tag_count);
    for (size_t i = 0; i < policy->deny_tag_count; i++) {
        fingerprint_put_text(fingerprint, policy->deny_tags[i]);
    }
    fingerprint_put_int(fingerprint, (int64_t)policy->stage_count);
    for (size_t i = 0; i < policy->stage_count; i++) {
        fingerprint_put_int(fingerprint, policy->stages[i].mode);
        fingerprint_put_int(fingerprint, policy->stages[i].until_unix_s);
    }
    config_put_expr(fingerprint, &policy->expr);
}

static void config_put_exception(struct fingerprint *fingerprint, const struct exception *exception)
{
    fingerprint_put_text(fingerprint, exception->id);
    config_put_patterns(fingerprint, exception->images, exception->image_count);
    fingerprint_put_int(fingerprint, (int64_t)exception->policy_count);
    for (size_t i = 0; i < exception->policy_count; i++) {
        fingerprint_put_int(fingerprint, exception->policies[i]);
    }
    fingerprint_put_int(fingerprint, exception->is_for_uncovered);
    fingerprint_put_int(fingerprint, (int64_t)exception->waive_count);
    for (size_t i = 0; i < exception->waive_count; i++) {
        fingerprint_put_text(fingerprint, exception->waive[i]);
    }
    fingerprint_put_text(fingerprint, exception->owner);
    fingerprint_put_text(fingerprint, exception->approved_by);
    fingerprint_put_int(fingerprint, exception->created_unix_s);
    fingerprint_put_int(fingerprint, exception->expires_unix_s);
}

static const char *config_digest_text(struct arena *arena, const struct digest *digest)
{
    char text[DIGEST_MAX_TEXT];

    digest_format(digest, text);
    return arena_string(arena, text);
}

/* What decides: policies with their leaves (and so the trust material), and exceptions. */
static bool config_fingerprint(struct compile *compile, struct gh_error *err)
{
    struct snapshot *snapshot = &compile->tenant->snapshot;
    struct fingerprint fingerprint;

    fingerprint_init(&fingerprint, "policy");
    fingerprint_put_text(&fingerprint, snapshot->tenant);
    fingerprint_put_int(&fingerprint, (int64_t)snapshot->policy_count);
    for (size_t i = 0; i < snapshot->policy_count; i++) {
        config_put_policy(&fingerprint, &snapshot->policies[i]);
    }
    fingerprint_put_int(&fingerprint, (int64_t)snapshot->exception_count);
    for (size_t i = 0; i < snapshot->exception_count; i++) {
        config_put_exception(&fingerprint, &snapshot->exceptions[i]);
    }
    GH_TRY(fingerprint_final(&fingerprint, &snapshot->fingerprint, err));
    snapshot->fingerprint_text = config_digest_text(compile->config->arena, &snapshot->fingerprint);
    return snapshot->fingerprint_text != NULL ||
           gh_fail(err, GH_INTERNAL_ERROR, "no memory for the configuration");
}

static bool config_read_tree(struct compile *compile, const char *file,
                             const struct yaml_node **root)
{
    struct bytes_buf content = {0};
    struct gh_error err = {0};
    uint32_t line = 0;
    uint32_t column = 0;
    bool is_read;

    if (!compile_read(compile, NULL, file, CONFIG_MAX_FILE_BYTES, false, &content)) {
        return false;
    }
    is_read = yaml_read(bytes_view(&content), compile->reader.arena, root, &line, &column, &err);
    bytes_buf_done(&content);
    if (!is_read) {
        config_problem_add(&compile->reader, CONFIG_ERROR, line, column, err.text, NULL, NULL,
                           NULL);
    } else if (*root == NULL) {
        config_error(&compile->reader, NULL, "the file is empty; expected a configuration");
    }
    return is_read && *root != NULL;
}

/* Policies in an observing mode, in a sentence of their own: what only they let through is served
 * although nothing vouches for it. */
static void config_warn_observing(struct compile *compile)
{
    const struct snapshot *snapshot = &compile->tenant->snapshot;

    for (size_t i = 0; i < snapshot->policy_count; i++) {
        const struct policy *policy = &snapshot->policies[i];
        enum policy_mode mode = policy_mode_at(policy, compile->reader.now_unix_s);
        char message[256];

        if (policy->is_baseline || mode == POLICY_DENY) {
            continue;
        }
        (void)snprintf(message, sizeof(message),
                       "the policy \"%.100s\" only observes (%s): what no other policy covers is "
                       "served without being verified",
                       policy->name, policy_mode_label(mode));
        config_problem_add(&compile->reader, CONFIG_WARNING, policy->line, 1, message, NULL, NULL,
                           NULL);
    }
}

/* Everything a tenant's file may say, and the main file for its own tenant. */
static void config_compile_tenant(struct compile *compile)
{
    compile_upstreams(compile);
    compile_roots(compile);
    compile_signers(compile);
    compile_policies(compile);
    compile_shell(compile);
    compile_unused(compile);
    config_warn_observing(compile);
    compile_exceptions(compile);
}

/* What needs the whole to stand: run only when no file has an error. */
static void config_finish_tenant(struct compile *compile)
{
    struct gh_error err = {0};

    compile_lint(compile);
    compile_tests(compile);
    if (!config_fingerprint(compile, &err)) {
        config_error(&compile->reader, NULL, "%s", err.text);
    }
}

/* False when there is nothing to compile. */
static bool config_read_file(struct compile *compile, const char *file)
{
    const struct yaml_node *root = NULL;

    if (!config_folder(compile, file) || !config_read_tree(compile, file, &root)) {
        return false;
    }
    config_read_object(&compile->reader, &config_object_file, root, &compile->raw);
    return root->kind == YAML_MAP && !compile->reader.is_out_of_memory;
}

static void config_begin(struct compile *compile, const struct compile *main,
                         struct config_tenant *tenant)
{
    compile->config = main->config;
    compile->owned = main->owned;
    compile->tenant = tenant;
    compile->reader = main->reader;
    compile->reader.file = tenant->file;
    tenant->snapshot.tenant = tenant->name;
}

static bool config_fingerprint_whole(struct config *config, struct gh_error *err)
{
    struct fingerprint fingerprint;

    if (config->tenant_count == 1) {
        config->fingerprint = config->tenants[0].snapshot.fingerprint;
        config->fingerprint_text = config->tenants[0].snapshot.fingerprint_text;
        return true;
    }
    fingerprint_init(&fingerprint, "tenants");
    for (size_t i = 0; i < config->tenant_count; i++) {
        const struct config_tenant *tenant = &config->tenants[i];

        fingerprint_put_digest(&fingerprint, &tenant->snapshot.fingerprint);
        fingerprint_put_text(&fingerprint, tenant->prefix);
        fingerprint_put_int(&fingerprint, (int64_t)tenant->hosts.count);
        for (size_t k = 0; k < tenant->hosts.count; k++) {
            fingerprint_put_text(&fingerprint, tenant->hosts.items[k]);
        }
    }
    GH_TRY(fingerprint_final(&fingerprint, &config->fingerprint, err));
    config->fingerprint_text = config_digest_text(config->arena, &config->fingerprint);
    return config->fingerprint_text != NULL ||
           gh_fail(err, GH_INTERNAL_ERROR, "no memory for the configuration");
}

static void config_finish(struct compile *compiles, size_t count)
{
    struct config_reader *reader = &compiles[0].reader;
    struct gh_error err = {0};

    for (size_t i = 0; i < count && reader->problems->error_count == 0; i++) {
        config_finish_tenant(&compiles[i]);
    }
    if (reader->problems->error_count == 0 && !config_fingerprint_whole(compiles[0].config, &err)) {
        config_error(reader, NULL, "%s", err.text);
    }
}

/* What cannot be read is told where the main file names it. */
static bool config_has_tenant_file(struct compile *main, size_t index)
{
    const struct config_raw_tenant *raw = &main->raw.tenants.items[index];
    GH_OWN(bytes_buf_done) struct bytes_buf ignored = {0};

    return compile_read(main, compile_node(&raw->at, "config"), raw->config, YAML_MAX_BYTES, false,
                        &ignored);
}

static void config_compile(struct compile *main, const char *file)
{
    struct config *config = main->config;
    struct compile *compiles;

    if (!config_read_file(main, file) || !compile_tenants(main)) {
        return;
    }
    compile_process(main);
    config_compile_tenant(main);
    compiles = calloc(config->tenant_count, sizeof(*compiles));
    if (compiles == NULL) {
        config_error(&main->reader, NULL, "no memory for the configuration");
        return;
    }
    compiles[0] = *main;
    for (size_t i = 1; i < config->tenant_count; i++) {
        config_begin(&compiles[i], main, &config->tenants[i]);
        if (config_has_tenant_file(main, i - 1) &&
            config_read_file(&compiles[i], config->tenants[i].file)) {
            compile_tenant_keys(&compiles[i]);
            config_compile_tenant(&compiles[i]);
        }
    }
    config_finish(compiles, config->tenant_count);
    free(compiles);
}

static int config_compare_problems(const void *a, const void *b)
{
    const struct config_problem *left = a;
    const struct config_problem *right = b;
    int order = strcmp(left->file, right->file);

    if (order != 0) {
        return order;
    }
    if (left->line != right->line) {
        return left->line < right->line ? -1 : 1;
    }
    if (left->column != right->column) {
        return left->column < right->column ? -1 : 1;
    }
    return strcmp(left->message, right->message);
}

static bool config_report(struct config_problems *problems, struct gh_error *err)
{
    if (problems->count > 1) {
        qsort(problems->items, problems->count, sizeof(*problems->items), config_compare_problems);
    }
    if (problems->error_count == 0) {
        return true;
    }
    for (size_t i = 0; i < problems->count; i++) {
        const struct config_problem *problem = &problems->items[i];

        if (problem->severity == CONFIG_ERROR) {
            (void)gh_fail(err, GH_POLICY_DENIED, "%s", problem->message);
            gh_error_at(err, "%s:%u:%u", problem->file, problem->line, problem->column);
            return false;
        }
    }
    return gh_fail(err, GH_INTERNAL_ERROR, "no memory for the configuration");
}

bool config_load(const struct config_loader *loader, const char *file, int64_t now_unix_s,
                 struct config **out, struct config_problems *problems, struct gh_error *err)
{
    struct config_holder *holder = calloc(1, sizeof(*holder));
    struct compile compile = {0};

    memset(problems, 0, sizeof(*problems));
    if (holder == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for the configuration");
    }
    holder->config.references = 1;
    holder->config.arena = arena_new(CONFIG_MAX_MEMORY);
    if (holder->config.arena != NULL) {
        holder->config.file = arena_string(holder->config.arena, file);
        holder->config.tenants = arena_alloc(holder->config.arena, 1, sizeof(struct config_tenant));
    }
    if (holder->config.file == NULL || holder->config.tenants == NULL) {
        config_unref(&holder->config);
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for the configuration");
    }
    holder->config.tenant_count = 1;
    compile.config = &holder->config;
    compile.tenant = &holder->config.tenants[0];
    compile.tenant->name = "default";
    compile.tenant->file = holder->config.file;
    compile.tenant->snapshot.tenant = compile.tenant->name;
    compile.owned = &holder->owned;
    compile.reader = (struct config_reader){.arena = holder->config.arena,
                                            .problems = problems,
                                            .loader = loader,
                                            .file = holder->config.file,
                                            .now_unix_s = now_unix_s};
    config_compile(&compile, holder->config.file);
    if (!config_report(problems, err)) {
        config_unref(&holder->config);
        return false;
    }
    *out = &holder->config;
    return true;
}
