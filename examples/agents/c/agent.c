// A support agent: it remembers what a customer's own messages state, and answers from that.
#include "text.h"

// A sentence with one of these says what the customer wants …
#define STATES "from now on|we want|we d like|we would like|we prefer|we decided|we have decided|we ve decided" \
  "|please use|please always|please never|should always"
// … and with one of these, that something it said before holds no more.
#define CORRECTS "from now on|instead|no longer|changed our mind"

// Whether a user says it: of an imported event the original actor counts.
static bool is_users(quipu_memory_types_event_t *event) {
  string original = {0}, actor;
  if (event->source.is_some && event->source.val.extra.is_some) original = json_member(event->source.val.extra.val, "original");
  if (!json_text(original, "actor", &actor)) return begins(event->actor, "user:");
  bool is = begins(actor, "user:");
  free(actor.ptr);
  return is;
}

// The first sentence of a user's own message that states something, and its words. The sentence is there until the next call.
static bool stated(quipu_memory_types_event_t *event, string *sentence, string *words) {
  static string all;
  free(all.ptr), all = (string){0};
  if (!same(event->kind, "message") || event->run.is_some || !is_users(event)) return false;
  if (!event->payload.is_some || !json_text(event->payload.val, "text", &all)) return false;
  for (string rest = all; next_sentence(&rest, sentence); free(words->ptr)) {
    *words = words_of(*sentence);
    if (!begins(*sentence, ">") && !ends(*sentence, "?") && has_any(*words, STATES "|" CORRECTS)) return true;
  }
  return false;
}

// Those words, of four letters or more, that no phrase has: sorted, each once.
static list subject(string words) {
  static string phrases;
  if (!phrases.ptr) phrases = words_of(text(STATES "|" CORRECTS));
  list about = {grown(0, (words.len / 4 + 1) * sizeof(string)), 0};
  for (string word; next_word(&words, &word);)
    if (word.len >= 4 && !has(phrases, word)) about.ptr[about.len++] = word;
  return sorted(about);
}

bool exports_agent_handle(agent_run_info_t *run, agent_list_own_reader_t *memory, string *question, string *ret, string *err) {
  quipu_memory_read_borrow_reader_t home = quipu_memory_read_borrow_reader(memory->ptr[0]);
  struct { string id, words; list about; } *held = 0; // what is replaced is about nothing
  size_t count = 0, gone = 0;
  quipu_memory_types_error_t e;
  quipu_memory_read_page_t page = {.next = {true, 0}};
  while (page.next.is_some) {
    quipu_memory_types_seq_t next = page.next.val;
    quipu_memory_read_page_free(&page);
    if (!quipu_memory_read_method_reader_read(home, &next, 256, &page, &e)) return refused(e, err);
    for (quipu_memory_types_event_t *event = page.events.ptr; event < page.events.ptr + page.events.len; event++) {
      string sentence, words, payload = {0}, key = {0};
      if (!stated(event, &sentence, &words)) continue;
      list about = subject(words);
      size_t closest = count, most = 1;
      for (size_t i = has_any(words, CORRECTS) ? 0 : count; i < count; i++) { // the newest of equals
        size_t n = shared(about, held[i].about);
        if (n >= most) most = n, closest = i;
      }
      puts_to(&payload, "{\"tags\":[\"stated\"],\"text\":"), put_json(&payload, sentence), puts_to(&payload, "}");
      puts_to(&key, "said:"), put(&key, event->id);
      quipu_memory_types_draft_t draft = {text("memory.write"), payload, event->source, .evidence = {&event->id, 1}, .key = {true, key}};
      draft.source.val.extra.is_some = false;
      if (closest < count) {
        draft.supersedes.ptr = &held[closest].id, draft.supersedes.len = 1, gone++;
        free(held[closest].words.ptr), free(held[closest].about.ptr), held[closest].about.len = 0;
      }
      quipu_memory_types_receipt_t receipt;
      if (quipu_memory_append_append(&draft, &receipt, &e)) {
        held = grown(held, (count + 1) * sizeof *held);
        held[count].id = receipt.id, held[count].words = words, held[count++].about = about;
        free(receipt.ts.ptr), free(receipt.hash.ptr);
      } else if (e.kind == QUIPU_MEMORY_TYPES_ERROR_KIND_SECRET || e.kind == QUIPU_MEMORY_TYPES_ERROR_KIND_CONFLICT ||
                 e.kind == QUIPU_MEMORY_TYPES_ERROR_KIND_REDACTED) {
        free(e.message.ptr), free(words.ptr), free(about.ptr); // no reason to remember nothing else
      } else {
        return refused(e, err);
      }
      free(payload.ptr), free(key.ptr);
    }
  }
  *ret = (string){0};
  if (!question->len) {
    string scope;
    quipu_memory_read_method_reader_scope(home, &scope);
    put_number(ret, count - gone), puts_to(ret, " statements in "), put(ret, scope);
    return true;
  }
  string kinds[] = {text("memory.write")};
  quipu_memory_recall_query_t query = {.text = *question, .limit = 3, .kinds = {kinds, 1}, .actors = {&run->actor, 1}};
  quipu_memory_recall_search_answer_t found;
  // A handle that is owned and one that is borrowed are the same number.
  if (!quipu_memory_recall_search((quipu_memory_recall_list_borrow_reader_t *)memory, &query, &found, &e)) return refused(e, err);
  for (size_t i = 0; i < found.hits.len; i++) {
    quipu_memory_types_event_t *event = &found.hits.ptr[i].event;
    string said;
    if (!event->run.is_some || !equal(event->actor, run->actor) || !event->payload.is_some || !json_text(event->payload.val, "text", &said)) continue;
    puts_to(ret, ret->len ? "\n- " : "- "), put(ret, said), puts_to(ret, " ["), put(ret, event->id), puts_to(ret, ", said in ");
    for (size_t n = 0; n < event->evidence.len; n++) puts_to(ret, n ? ", " : ""), put(ret, event->evidence.ptr[n]);
    puts_to(ret, "]");
  }
  if (!ret->len) puts_to(ret, "I remember nothing that answers this.");
  return true;
}
