#include "proxy/command_explain.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "metrics/error.h"
#include "metrics/text.h"
#include "policy/config.h"
#include "policy/decide.h"
#include "policy/explain.h"
#include "proxy/config_files.h"
#include "proxy/trust_held.h"

#define EXPLAIN_MAX_OUTPUT_BYTES (16u * 1024 * 1024)

static const char explain_usage[] =
    "usage: gatehouse explain -c FILE [--tenant NAME] [--output text|json] IMAGE\n"
    "\n"
    "Shows which policies cover IMAGE and what they ask for. Nothing is fetched: a tag is not\n"
    "resolved, and policies for one digest show only where IMAGE names that digest.\n"
    "\n"
    "  -c, --config FILE   the configuration\n"
    "      --tenant NAME   as this tenant decides (the main file's by default)\n"
    "      --output FORM   text (default) or json\n"
    "  -h, --help          this text\n"
    "\n"
    "Exit status: 0 covered, 1 covered by no policy, 2 wrong usage or configuration.\n";

static int explain_image(const struct config_tenant *tenant, const char *image, bool is_json)
{
    struct image_ref ref;
    struct decide_plan plan;
    struct gh_error err = {0};
    struct text out;
    int64_t now = (int64_t)time(NULL);
    int status;

    if (!image_ref_parse(bytes_of(image), tenant->default_upstream, &ref, &err)) {
        (void)fprintf(stderr, "gatehouse explain: %s\n", err.text);
        return 2;
    }
    if (config_tenant_upstream(tenant, ref.upstream) == NULL) {
        (void)fprintf(stderr, "gatehouse explain: %s is not one of the upstreams\n", ref.upstream);
        return 2;
    }
    struct decide_image subject = {
        .name = ref.name, .tag = ref.tag[0] == '\0' ? NULL : ref.tag, .digest = ref.digest};

    if (!decide_plan(&tenant->snapshot, &subject, now, &plan, &err)) {
        (void)fprintf(stderr, "gatehouse explain: %s\n", err.text);
        return 2;
    }
    text_init(&out, EXPLAIN_MAX_OUTPUT_BYTES);
    if (is_json) {
        explain_put_json(&out, &plan, now);
    } else {
        explain_put_text(&out, &plan, now);
    }
    status = text_ok(&out) && fputs(text_cstr(&out), stdout) >= 0 ? (plan.is_covered ? 0 : 1) : 2;
    text_done(&out);
    decide_plan_done(&plan);
    return status;
}

int command_explain(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"tenant", required_argument, NULL, 't'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct config_files files = {.tuf = trust_held_load};
    struct config *config = NULL;
    const struct config_tenant *tenant;
    const char *path = NULL;
    const char *name = "default";
    bool is_json = false;
    int option;
    int status;

    optind = 1;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'c') {
            path = optarg;
        } else if (option == 't') {
            name = optarg;
        } else if (option == 'o' && (strcmp(optarg, "json") == 0 || strcmp(optarg, "text") == 0)) {
            is_json = optarg[0] == 'j';
        } else {
            (void)fputs(explain_usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    if (path == NULL || optind + 1 != argc) {
        (void)fputs(explain_usage, stderr);
        return 2;
    }
    if (!config_files_load(&files, path, (int64_t)time(NULL), false, &config)) {
        return 2;
    }
    tenant = config_tenant_find(config, name);
    if (tenant == NULL) {
        (void)fprintf(stderr, "gatehouse explain: there is no tenant called %.128s\n", name);
    }
    status = tenant == NULL ? 2 : explain_image(tenant, argv[optind], is_json);
    config_unref(config);
    return status;
}
