(module $"two words"
  (type (@name "") (;0;) (func))
  (type (;1;) (func (param i32 i32)))
  (global $g (;0;) i32 (i32.const 0))
  (func $same (;0;) (type 1) (param $x i32) (param $x#1 (@name "x") i32)
    (block $l
      (block $l
        (br $l)
        (br 1 (;@1;))))
    (block $"q\"\\\u{200b}"
      (br $"q\"\\\u{200b}"))
    (block (@name "")
      (br 0 (;@4;))))
  (func $same#2 (@name "same") (;1;) (type 0))
  (func $same#1 (;2;) (type 0))
  (func (@name "") (;3;) (type 0))
  (data $d (;0;) "")
  (@custom "first" (before first) "\00")
  (@custom "odd \"name\"" (after type)
    "a string that is longer than one"
    " line can be, so that it has to "
    "go on in the next")
  (@custom "before code" (after global) "x")
  (@custom "after data" (after data) "x")
  (@custom "last" (after last) ""))
