/*
 * What the description of the language is printed as: JSON Schema (draft 2020-12) for editors, and
 * the reference section of the documentation.
 */
#include <stdio.h>
#include <string.h>

#include "metrics/text.h"
#include "policy/config_schema.h"
#include "policy/predicate.h"

#define PRINT_MAX_OBJECTS 128

#define PRINT_DURATION "^[0-9]{1,15}[smhdw]$"
#define PRINT_SIZE "^[0-9]{1,15}(B|KiB|MiB|GiB|TiB)?$"
#define PRINT_TIME "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?Z)?$"

/* Every object that can be reached from ROOT, each once, in the order they are met. */
struct print_set {
    const struct config_object *objects[PRINT_MAX_OBJECTS];
    size_t count;
};

static void print_collect(struct print_set *set, const struct config_object *object)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->objects[i] == object) {
            return;
        }
    }
    if (set->count == PRINT_MAX_OBJECTS) {
        return;
    }
    set->objects[set->count++] = object;
    for (size_t i = 0; i < object->field_count; i++) {
        if (object->fields[i].object != NULL) {
            print_collect(set, object->fields[i].object);
        }
    }
}

static void print_words(struct text *out, const char *words)
{
    bool is_first = true;

    text_put_char(out, '[');
    while (*words != '\0') {
        size_t len = strcspn(words, "|");

        text_put(out, is_first ? "" : ", ");
        text_put_json_bytes(out, words, len);
        is_first = false;
        words += len + (words[len] == '|' ? 1 : 0);
    }
    text_put_char(out, ']');
}

static void print_ref(struct text *out, const struct config_object *object)
{
    text_printf(out, "{\"$ref\": \"#/$defs/%s\"}", object->name);
}

static void print_pattern(struct text *out, const char *pattern)
{
    text_put(out, "\"type\": \"string\", \"pattern\": ");
    text_put_json(out, pattern);
}

static void print_number(struct text *out, const struct config_field *field)
{
    char bounds[96];

    (void)snprintf(bounds, sizeof(bounds), "\"type\": \"integer\", \"minimum\": %lld",
                   (long long)field->min);
    if (field->words == NULL) {
        text_put(out, bounds);
    } else {
        text_printf(out, "\"anyOf\": [{%s}, {\"enum\": ", bounds);
        print_words(out, field->words);
        text_put(out, "}]");
        return;
    }
    if (field->max != 0) {
        text_printf(out, ", \"maximum\": %lld", (long long)field->max);
    }
}

static void print_list(struct text *out, const struct config_field *field)
{
    text_put(out, "\"type\": \"array\", \"items\": ");
    if (field->object != NULL) {
        print_ref(out, field->object);
    } else {
        text_put(out, "{\"type\": \"string\", \"minLength\": 1}");
    }
    if ((field->flags & CONFIG_NOT_EMPTY) != 0) {
        text_put(out, ", \"minItems\": 1");
    }
}

static void print_any(struct text *out, const struct config_field *field)
{
    if ((field->flags & CONFIG_WORD) != 0) {
        text_put(out, "\"anyOf\": [{\"enum\": ");
        print_words(out, field->words);
        text_put(out, "}, ");
        print_ref(out, field->object);
        text_put_char(out, ']');
    } else if ((field->flags & CONFIG_SCALAR) != 0) {
        text_put(out, "\"type\": [\"string\", \"number\", \"boolean\", \"null\"]");
    } else if ((field->flags & CONFIG_LIST) != 0) {
        text_put(out, "\"type\": \"array\"");
    } else if (strcmp(field->name, "check") == 0) {
        text_put(out, "\"type\": \"object\"");
    } else {
        text_put(out, "\"$comment\": \"any value\"");
    }
}

static void print_type(struct text *out, const struct config_field *field)
{
    switch (field->type) {
    case CONFIG_TEXT:
        text_put(out, "\"type\": \"string\"");
        return;
    case CONFIG_NAME:
        print_pattern(out, "^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$");
        return;
    case CONFIG_PATH:
    case CONFIG_SECRET:
        text_put(out, "\"type\": \"string\", \"minLength\": 1");
        return;
    case CONFIG_INLINE:
        print_pattern(out, "^\\$\\{[A-Za-z0-9_]+\\}$");
        return;
    case CONFIG_URL:
        print_pattern(out, (field->flags & CONFIG_FILE_URL) != 0 ? "^(https?://[^/]|file:///)"
                                                                 : "^https?://[^/]");
        return;
    case CONFIG_ADDRESS:
        print_pattern(out, "^.+:[0-9]{1,5}$");
        return;
    case CONFIG_BOOL:
        text_put(out, "\"type\": \"boolean\"");
        return;
    case CONFIG_INT:
        print_number(out, field);
        return;
    case CONFIG_SIZE:
        text_put(out, "\"type\": [\"string\", \"integer\"], \"pattern\": ");
        text_put_json(out, PRINT_SIZE);
        return;
    case CONFIG_DURATION:
        print_pattern(out, PRINT_DURATION);
        return;
    case CONFIG_START:
    case CONFIG_LAST:
    case CONFIG_END:
        print_pattern(out, PRINT_TIME);
        return;
    case CONFIG_ENUM:
        text_put(out, "\"enum\": ");
        print_words(out, field->words);
        return;
    case CONFIG_TEXTS:
    case CONFIG_PATHS:
    case CONFIG_OBJECTS:
        if (field->object != NULL && field->object->shorthand != NULL) {
            text_put(out, "\"anyOf\": [{\"type\": \"string\"}, {");
            print_list(out, field);
            text_put(out, "}]");
        } else {
            print_list(out, field);
        }
        return;
    case CONFIG_PAIRS:
        text_put(out, "\"type\": \"object\", \"additionalProperties\": {\"type\": [\"string\", "
                      "\"number\", \"boolean\"]}");
        return;
    case CONFIG_OBJECT:
        text_printf(out, "\"$ref\": \"#/$defs/%s\"", field->object->name);
        return;
    case CONFIG_NAMED:
        text_put(out, "\"type\": \"object\", \"additionalProperties\": ");
        print_ref(out, field->object);
        return;
    case CONFIG_ANY:
        print_any(out, field);
        return;
    }
}

static void print_property(struct text *out, const struct config_field *field, const char *indent)
{
    text_printf(out, "%s  ", indent);
    text_put_json(out, field->name);
    text_put(out, ": {");
    print_type(out, field);
    text_put(out, ", \"description\": ");
    text_put_json(out, field->help);
    if ((field->flags & CONFIG_LATER) != 0) {
        text_put(out, ", \"deprecated\": true, \"$comment\": \"not supported yet\"");
    }
    if (field->fallback != NULL && field->fallback[0] != '\0') {
        bool is_plain = field->type == CONFIG_BOOL ||
                        (field->type == CONFIG_INT && strcmp(field->fallback, "auto") != 0);

        text_put(out, ", \"default\": ");
        if (is_plain) {
            text_put(out, field->fallback);
        } else {
            text_put_json(out, field->fallback);
        }
    }
    text_put_char(out, '}');
}

static void print_required(struct text *out, const struct config_object *object, const char *indent)
{
    bool is_first = true;

    for (size_t i = 0; i < object->field_count; i++) {
        if ((object->fields[i].flags & CONFIG_REQUIRED) == 0) {
            continue;
        }
        text_put(out, is_first ? "" : ", ");
        if (is_first) {
            text_printf(out, ",\n%s\"required\": [", indent);
        }
        text_put_json(out, object->fields[i].name);
        is_first = false;
    }
    text_put(out, is_first ? "" : "]");
    if (object->one_of != NULL) {
        const char *words = object->one_of;

        text_printf(out, ",\n%s\"oneOf\": [", indent);
        while (*words != '\0') {
            size_t len = strcspn(words, "|");

            text_put(out, words == object->one_of ? "" : ", ");
            text_put(out, "{\"required\": [");
            text_put_json_bytes(out, words, len);
            text_put(out, "]}");
            words += len + (words[len] == '|' ? 1 : 0);
        }
        text_put_char(out, ']');
    }
}

static void print_object(struct text *out, const struct config_object *object, const char *indent)
{
    text_printf(out, "%s\"type\": \"%s\",\n", indent, "object");
    text_printf(out, "%s\"description\": ", indent);
    text_put_json(out, object->help);
    text_printf(out, ",\n%s\"additionalProperties\": false,\n%s\"properties\": {\n", indent,
                indent);
    for (size_t i = 0; i < object->field_count; i++) {
        print_property(out, &object->fields[i], indent);
        text_put(out, i + 1 < object->field_count ? ",\n" : "\n");
    }
    text_printf(out, "%s}", indent);
    print_required(out, object, indent);
    text_put(out, "\n");
}

void config_print_schema(struct text *out)
{
    struct print_set set = {0};

    print_collect(&set, &config_object_file);
    print_collect(&set, &config_object_register);
    text_put(out, "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
                  "  \"$id\": \"https://gatehouse.dev/schema/gatehouse.schema.json\",\n"
                  "  \"title\": \"Gatehouse configuration\",\n"
                  "  \"$ref\": \"#/$defs/file\",\n  \"$defs\": {\n");
    for (size_t i = 0; i < set.count; i++) {
        text_printf(out, "    \"%s\": {\n", set.objects[i]->name);
        print_object(out, set.objects[i], "      ");
        text_put(out, i + 1 < set.count ? "    },\n" : "    }\n");
    }
    text_put(out, "  }\n}\n");
}

/* ---- reference ---- */

static const char *print_type_name(const struct config_field *field)
{
    switch (field->type) {
    case CONFIG_TEXT:
    case CONFIG_NAME:
        return "text";
    case CONFIG_PATH:
        return "file";
    case CONFIG_SECRET:
        return "secret file";
    case CONFIG_INLINE:
        return "${ENV}";
    case CONFIG_URL:
        return "address";
    case CONFIG_ADDRESS:
        return "host:port";
    case CONFIG_BOOL:
        return "true, false";
    case CONFIG_INT:
        return "number";
    case CONFIG_SIZE:
        return "size";
    case CONFIG_DURATION:
        return "duration";
    case CONFIG_START:
    case CONFIG_LAST:
    case CONFIG_END:
        return "time";
    case CONFIG_ENUM:
        return "word";
    case CONFIG_TEXTS:
        return "list of texts";
    case CONFIG_PATHS:
        return "list of files";
    case CONFIG_PAIRS:
        return "names to texts";
    case CONFIG_OBJECT:
        return "mapping";
    case CONFIG_OBJECTS:
        return "list";
    case CONFIG_NAMED:
        return "mapping by name";
    case CONFIG_ANY:
        return "value";
    }
    return "value";
}

static void print_row(struct text *out, const struct config_field *field)
{
    text_printf(out, "| `%s`%s | ", field->name,
                (field->flags & CONFIG_REQUIRED) != 0 ? " \\*" : "");
    if (field->words != NULL && field->type == CONFIG_ENUM) {
        for (const char *c = field->words; *c != '\0'; c++) {
            if (*c == '|') {
                text_put(out, ", ");
            } else {
                text_put_char(out, *c);
            }
        }
    } else {
        text_put(out, print_type_name(field));
    }
    if (field->object != NULL) {
        text_printf(out, " ([%s](#%s))", field->object->name, field->object->name);
    }
    text_printf(out, " | %s%s%s | %s%s |\n",
                field->fallback != NULL && field->fallback[0] != '\0' ? "`" : "",
                field->fallback == NULL ? "" : field->fallback,
                field->fallback != NULL && field->fallback[0] != '\0' ? "`" : "", field->help,
                (field->flags & CONFIG_LATER) != 0     ? " *Not supported yet.*"
                : (field->flags & CONFIG_PROCESS) != 0 ? " Main file only."
                                                       : "");
}

static void print_predicates(struct text *out)
{
    text_put(out, "\n### check\n\nTyped checks, by the attestation's name.\n");
    for (size_t i = 0; i < predicate_alias_count; i++) {
        const struct predicate_alias *alias = &predicate_aliases[i];

        text_printf(out, "\n`%s`:\n\n", alias->name);
        for (size_t j = 0; j < alias->key_count; j++) {
            text_printf(out, "- `%s`: %s\n", alias->keys[j].name, alias->keys[j].help);
        }
    }
}

void config_print_reference(struct text *out)
{
    struct print_set set = {0};

    print_collect(&set, &config_object_file);
    print_collect(&set, &config_object_register);
    text_put(out, "# Configuration reference\n\n"
                  "Written by `gatehouse check --reference`. \\* marks what must be there.\n");
    for (size_t i = 0; i < set.count; i++) {
        const struct config_object *object = set.objects[i];

        text_printf(out,
                    "\n### %s\n\n%s\n\n| key | value | default | meaning |\n| --- | --- | --- | "
                    "--- |\n",
                    object->name, object->help);
        for (size_t j = 0; j < object->field_count; j++) {
            print_row(out, &object->fields[j]);
        }
    }
    print_predicates(out);
}
