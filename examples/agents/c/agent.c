// A support agent: it remembers what a customer's own messages state, and answers from that.
#include "text.h"

// A sentence with one of these says what the customer wants …
#define STATES "from now on|we want|we d like|we would like|we prefer|we decided|we have decided|we ve decided" \
  "|please use|please always|please never|should always"
// … and with one of these, that something it said before holds no more.
#define CORRECTS "from now on|instead|no longer|changed our mind"

// The first sentence of a user's own message that states something, and its words.
static bool stated(quipu_memory_types_event_t *event, string *sentence, string *words) {
  string speaker = event->actor, all;
  if (event->source.is_some && event->source.val.extra.is_some)
    json_text(json_member(event->source.val.extra.val, "original"), "actor", &speaker);
  if (!same(event->kind, "message") || event->run.is_some || !begins(speaker, "user:")) return false;
  if (!event->payload.is_some || !json_text(event->payload.val, "text", &all)) return false;
  while (next_sentence(&all, sentence)) {
    *words = words_of(*sentence);
    if (!begins(*sentence, ">") && !ends(*sentence, "?") && has_any(*words, STATES "|" CORRECTS)) return true;
  }
  return false;
}

// How many words of four letters or more they share that no phrase has.
static size_t shared(string words, string others) {
  string phrases = words_of(text(STATES "|" CORRECTS)), seen = words_of(text("")), word;
  size_t count = 0;
  while (next_word(&words, &word)) {
    count += word.len >= 4 && has(others, word) && !has(phrases, word) && !has(seen, word);
    put(&seen, word), put_byte(&seen, ' ');
  }
  return count;
}

bool exports_agent_handle(agent_run_info_t *run, agent_list_own_reader_t *memory, string *question, string *ret, string *err) {
  quipu_memory_read_borrow_reader_t home = quipu_memory_read_borrow_reader(memory->ptr[0]);
  struct { string id, words; } *held = 0; // what is replaced loses its words
  size_t count = 0, gone = 0;
  quipu_memory_types_error_t e;
  quipu_memory_read_page_t page = {.next = {true, 0}};
  while (page.next.is_some) {
    if (!quipu_memory_read_method_reader_read(home, &page.next.val, 256, &page, &e)) return refused(e, err);
    for (quipu_memory_types_event_t *event = page.events.ptr; event < page.events.ptr + page.events.len; event++) {
      string sentence, words, payload = {0}, key = {0};
      if (!stated(event, &sentence, &words)) continue;
      size_t closest = count, most = 1;
      for (size_t i = 0; i < count && has_any(words, CORRECTS); i++) // the newest of equals
        if (shared(words, held[i].words) >= most) most = shared(words, held[closest = i].words);
      puts_to(&payload, "{\"tags\":[\"stated\"],\"text\":"), put_json(&payload, sentence), puts_to(&payload, "}");
      puts_to(&key, "said:"), put(&key, event->id);
      event->source.val.extra.is_some = false;
      quipu_memory_types_draft_t draft = {text("memory.write"), payload, event->source, .evidence = {&event->id, 1}, .key = {true, key}};
      if (closest < count) draft.supersedes.ptr = &held[closest].id, draft.supersedes.len = 1, held[closest].words.len = 0, gone++;
      quipu_memory_types_receipt_t receipt;
      if (quipu_memory_append_append(&draft, &receipt, &e)) {
        held = grown(held, (count + 1) * sizeof *held);
        held[count].id = receipt.id, held[count++].words = words;
      } else if (e.kind != QUIPU_MEMORY_TYPES_ERROR_KIND_SECRET && e.kind != QUIPU_MEMORY_TYPES_ERROR_KIND_CONFLICT &&
                 e.kind != QUIPU_MEMORY_TYPES_ERROR_KIND_REDACTED) {
        return refused(e, err); // those three are no reason to remember nothing else
      }
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
    if (!event->run.is_some || !equal(event->actor, run->actor) || !json_text(event->payload.val, "text", &said)) continue;
    puts_to(ret, ret->len ? "\n- " : "- "), put(ret, said), puts_to(ret, " ["), put(ret, event->id), puts_to(ret, ", said in ");
    for (size_t n = 0; n < event->evidence.len; n++) puts_to(ret, n ? ", " : ""), put(ret, event->evidence.ptr[n]);
    puts_to(ret, "]");
  }
  if (!ret->len) puts_to(ret, "I remember nothing that answers this.");
  return true;
}
