import { testQueue } from "./queue-suite.js";

testQueue("PostgreSQL");
