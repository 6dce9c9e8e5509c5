;; Attack: imports a clock, to measure what it does not see.
;; Defence: what is imported is read from the outer type, and only four interfaces by their exact names are offered
(component
  (import "wasi:clocks/monotonic-clock@0.2.6" (instance (export "now" (func (result u64)))))
  (core module $m (func (export "handle")))
  (core instance $i (instantiate $m))
  (func (export "handle") (canon lift (core func $i "handle"))))
