;; Attack: uses the component model's concurrency, to go on when it should have ended.
;; Defence: the engine is built without it; the audit names each builtin
(component
  (core module $m (memory (export "m") 1) (func (export "handle")))
  (core instance $i (instantiate $m))
  (core func (canon thread.yield))
  (core func (canon subtask.drop))
  (func (export "handle") (canon lift (core func $i "handle"))))
